// Backward of both norms. Each block walks over rows with the sums of the parameter gradients of its columns in
// registers; it leaves one row of partial sums, which are added in order. Rows come through a ring in shared memory:
// every thread copies what it will itself read some rows later, so that memory is never waited for. A row belongs to a
// group of threads, a warp where one can hold it, and groups do not wait for each other.
#include "ops/cuda/ahead.cuh"
#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"
#include "ops/cuda/sum_rows.h"

namespace trireme::cuda {
namespace {

constexpr int kAnyThreads = 256;
constexpr int kMaxStages = 3;

struct Backward {
  Rows dx, dy, x, weight;
  const float *mean, *rstd;  // mean null: RMSNorm
  float *dweight, *dbias;    // partial sums (blocks, C), or null
  bool accumulate;
  int group, groups;
  int stages;  // rows of a group in the ring
};

struct Pair {
  float a, b;
};

/// Waits for the other warps of a group only: groups are at rows of their own. Barrier 0 is the whole block's.
__device__ void synchronise_group(int group, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "r"(threads) : "memory");
}

/// Two totals over a group as reduce_group gives one, with one synchronisation.
__device__ Pair reduce_pair(Pair v, int threads, Pair* slots) {
  const int lanes = threads < kWarp ? threads : kWarp;
  v = {reduce_lanes(v.a, lanes), reduce_lanes(v.b, lanes)};
  if (threads <= kWarp) return v;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0) slots[warp] = v;
  synchronise_group(static_cast<int>(threadIdx.x) / threads, threads);
  const int warps = threads / kWarp, first = warp / warps * warps;
  v = slots[first];
#pragma unroll 4
  for (int i = 1; i < warps; ++i) v = {v.a + slots[first + i].a, v.b + slots[first + i].b};
  return v;
}

/// Adds the groups' sums in order into this block's row of `partial`.
template <int V, int kPacks>
__device__ void leave_sums(const Backward& a, const float (&sums)[kPacks][V], float* shared, float* partial) {
  const int thread = static_cast<int>(threadIdx.x) % a.group, group = static_cast<int>(threadIdx.x) / a.group;
  const auto cols = static_cast<int>(a.x.cols);
  partial += int64_t{blockIdx.x} * cols;
  float* to = a.groups == 1 ? partial : shared + group * cols;
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (const int c = (thread + k * a.group) * V; c < cols)
#pragma unroll
      for (int i = 0; i < V; ++i) to[c + i] = sums[k][i];
  if (a.groups == 1) return;
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x)) {
    float total = shared[c];
    for (int g = 1; g < a.groups; ++g) total += shared[g * cols + c];
    partial[c] = total;
  }
}

template <class T, int V, int kPacks, bool kCentered>
__global__ void __launch_bounds__(kMaxGroup, kPacks == 1 ? 2 : 1) backward_kernel(const __grid_constant__ Backward a) {
  extern __shared__ uint4 ring[];  // afterwards the groups' sums
  __shared__ Pair slots[2][kWarp];
  const int thread = static_cast<int>(threadIdx.x) % a.group;
  const int64_t first = int64_t{thread} * V, stride = int64_t{a.group} * V;
  const int64_t step = int64_t{gridDim.x} * a.groups;
  const auto inside = [&](int k) { return first + k * stride < a.x.cols; };

  enum { kDy, kX, kOld, kTensors };
  const auto place = [&](int stage, int tensor, int k) {
    return ring + ((stage * kTensors + tensor) * kPacks + k) * static_cast<int>(blockDim.x) + threadIdx.x;
  };
  const auto fetch = [&](int64_t row, int stage) {
    if (row < a.x.count) {
      const auto copy = [&](const Rows& rows, int tensor) {
        const char* from = rows.row(row) + first * static_cast<int64_t>(sizeof(T));
#pragma unroll
        for (int k = 0; k < kPacks; ++k)
          if (inside(k)) copy_ahead(place(stage, tensor, k), from + k * stride * static_cast<int64_t>(sizeof(T)));
      };
      copy(a.dy, kDy);
      copy(a.x, kX);
      if (a.accumulate) copy(a.dx, kOld);
    }
    end_of_row();
  };
  const auto statistics = [&](int64_t row) -> Pair {  // mean, rstd
    return row < a.x.count ? Pair{kCentered ? a.mean[row] : 0.0F, a.rstd[row]} : Pair{};
  };
  const auto get = [&](int stage, int tensor, int k, float(&to)[V]) {
    unpack(*reinterpret_cast<const Pack<T, V>*>(place(stage, tensor, k)), to);
  };

  Pack<T, V> weight[kPacks] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (inside(k)) weight[k] = load<T, V>(a.weight, a.weight.base, first + k * stride);
  float dweight[kPacks][V] = {}, dbias[kCentered ? kPacks : 1][V] = {};
  const float scale = 1.0F / static_cast<float>(a.x.cols);
  int64_t row = int64_t{blockIdx.x} * a.groups + static_cast<int>(threadIdx.x) / a.group;
  for (int s = 0; s + 1 < a.stages; ++s) fetch(row + s * step, s);
  Pair of_row = statistics(row);
  int stage = 0, turn = 0;
  // All groups of a block go around equally often: the last rows of some do not exist.
  for (int64_t block_row = int64_t{blockIdx.x} * a.groups; block_row < a.x.count; block_row += step, row += step) {
    const bool active = row < a.x.count;
    const float mean = of_row.a, rstd = of_row.b;
    of_row = statistics(row + step);  // as early as what lies in the ring: its way is as long
    fetch(row + (a.stages - 1) * step, stage == 0 ? a.stages - 1 : stage - 1);
    wait_for_all_but(a.stages - 1);

    Pair sums{};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside(k)) break;
      float dy[V], x[V], w[V];
      get(stage, kDy, k, dy);
      get(stage, kX, k, x);
      unpack(weight[k], w);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = (x[i] - mean) * rstd, g = dy[i] * w[i];
        if (kCentered) sums.a += g;
        sums.b = fmaf(g, xhat, sums.b);
        dweight[k][i] = fmaf(dy[i], xhat, dweight[k][i]);
        if (kCentered) dbias[k][i] += dy[i];
      }
    }
    sums = reduce_pair(sums, a.group, slots[turn]);
    turn ^= 1;
    const float mean_g = sums.a * scale, mean_g_xhat = sums.b * scale;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside(k)) break;
      float dy[V], x[V], w[V], before[V] = {}, dx[V];
      get(stage, kDy, k, dy);
      get(stage, kX, k, x);
      unpack(weight[k], w);
      if (a.accumulate) get(stage, kOld, k, before);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = (x[i] - mean) * rstd;
        dx[i] = fmaf(fmaf(-xhat, mean_g_xhat, fmaf(dy[i], w[i], -mean_g)), rstd, before[i]);
      }
      store<T, V>(a.dx, a.dx.row(row), first + k * stride, dx);
    }
    stage = stage + 1 == a.stages ? 0 : stage + 1;
  }
  auto* shared = reinterpret_cast<float*>(ring);
  if (a.dweight != nullptr) leave_sums<V, kPacks>(a, dweight, shared, a.dweight);
  if constexpr (kCentered)
    if (a.dbias != nullptr) leave_sums<V, kPacks>(a, dbias, shared, a.dbias);
}

/// Mixed or unaligned operands and rows of any length: each block takes a run of rows, and each thread adds its
/// columns' gradients to the block's row of partial sums.
__global__ void __launch_bounds__(kAnyThreads) backward_any_kernel(const __grid_constant__ Backward a) {
  __shared__ Pair slots[2][kWarp];
  const auto value = [](const Rows& rows, const char* at, int64_t c) { return load<Any, 1>(rows, at, c).value; };
  const int64_t cols = a.x.cols, begin = part_begin(a.x.count, gridDim.x, blockIdx.x);
  const auto add = [&](float* partial, int64_t row, int64_t c, float v) {
    if (partial == nullptr) return;
    float& sum = partial[int64_t{blockIdx.x} * cols + c];
    sum = row == begin ? v : sum + v;
  };
  for (int64_t row = begin; row < part_begin(a.x.count, gridDim.x, int64_t{blockIdx.x} + 1); ++row) {
    const char *at_dy = a.dy.row(row), *at_x = a.x.row(row);
    char* to = a.dx.row(row);
    const float mean = a.mean != nullptr ? a.mean[row] : 0.0F, rstd = a.rstd[row];
    Pair sums{};
    for (int64_t c = threadIdx.x; c < cols; c += kAnyThreads) {
      const float dy = value(a.dy, at_dy, c), xhat = (value(a.x, at_x, c) - mean) * rstd;
      const float g = dy * value(a.weight, a.weight.base, c);
      sums = {sums.a + g, fmaf(g, xhat, sums.b)};
      add(a.dweight, row, c, dy * xhat);
      add(a.dbias, row, c, dy);
    }
    sums = reduce_pair(sums, kAnyThreads, slots[row % 2]);
    const float mean_g = a.mean != nullptr ? sums.a / static_cast<float>(cols) : 0.0F;
    const float mean_g_xhat = sums.b / static_cast<float>(cols);
    for (int64_t c = threadIdx.x; c < cols; c += kAnyThreads) {
      const float dy = value(a.dy, at_dy, c), xhat = (value(a.x, at_x, c) - mean) * rstd;
      const float inner = fmaf(-xhat, mean_g_xhat, fmaf(dy, value(a.weight, a.weight.base, c), -mean_g));
      const float before = a.accumulate ? value(a.dx, to, c) : 0.0F;
      const float dx[1] = {fmaf(inner, rstd, before)};
      store<Any, 1>(a.dx, to, c, dx);
    }
  }
}

template <class T, int kPacks, bool kCentered>
void launch(const Ctx& ctx, Backward a, unsigned blocks, const NormShape& shape) {
  const int a_stage = 3 * 16 * kPacks * shape.threads();
  const int sums = shape.groups == 1 ? 0 : narrow<int>(shape.groups * a.x.cols * int64_t{sizeof(float)});
  constexpr int kFixed = 1024;  // what the kernel has besides
  a.stages = std::clamp((ctx.cuda->max_shared_bytes() - kFixed) / a_stage, 1, kMaxStages);
  const int bytes = std::max(a.stages * a_stage, sums);
  const auto kernel = backward_kernel<T, kWidth<T>, kPacks, kCentered>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "norm_backward");
  check_cuda(
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
      "norm_backward");
  kernel<<<blocks, shape.threads(), static_cast<size_t>(bytes), stream_of(ctx)>>>(a);
}

}  // namespace

void norm_backward(Ctx& ctx, const NormBackward& n) {
  if (n.x.numel() == 0) return;
  Backward a{.dx = Rows(n.dx),
             .dy = Rows(n.dy),
             .x = Rows(n.x),
             .weight = Rows(n.weight),
             .mean = n.mean.defined() ? n.mean.f32() : nullptr,
             .rstd = n.rstd.f32(),
             .dweight = n.dweight.defined() ? n.partial_dweight.f32() : nullptr,
             .dbias = n.dbias.defined() ? n.partial_dbias.f32() : nullptr,
             .accumulate = n.accumulate};
  const auto blocks = static_cast<unsigned>(norm_blocks(a.x.count));
  const DType dtype = n.dx.dtype;
  const bool alike =
      same_packs(a.dx, dtype) && same_packs(a.dy, dtype) && same_packs(a.x, dtype) && same_packs(a.weight, dtype);
  const int64_t row_packs = a.x.cols * dtype_size(dtype) / 16;
  // A warp holds a row where it can: then nobody waits for another warp.
  const NormShape shape = row_packs <= kWarp                   ? norm_shape(row_packs, 1, 512)
                          : row_packs <= kWarp * kMaxNormPacks ? norm_shape(row_packs, kMaxNormPacks, 256)
                                                               : norm_shape(row_packs, 2, 256);
  if (!alike || shape.packs == 0) {
    backward_any_kernel<<<blocks, kAnyThreads, 0, stream_of(ctx)>>>(a);
  } else {
    a.group = shape.group;
    a.groups = shape.groups;
    with_type(dtype, [&]<class T>(Type<T>) {
      with_packs(shape.packs, [&]<int kPacks>(std::integral_constant<int, kPacks>) {
        if (a.mean != nullptr)
          launch<T, kPacks, true>(ctx, a, blocks, shape);
        else
          launch<T, kPacks, false>(ctx, a, blocks, shape);
      });
    });
  }
  check_launch("norm_backward");
  if (n.dweight.defined()) add_rows(ctx, n.dweight, n.partial_dweight);
  if (n.dbias.defined()) add_rows(ctx, n.dbias, n.partial_dbias);
}

}  // namespace trireme::cuda
