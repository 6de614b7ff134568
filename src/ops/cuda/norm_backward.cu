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
constexpr int kSumThreads = 320;   // of a block that sums rows along, which takes registers
constexpr int kLonePacks = 3;      // of a lane, where a warp has a row to itself: few threads a processor, each with
constexpr int kLoneThreads = 192;  // many registers, are then faster than more of them

struct Backward {
  Rows dx, dy, x, weight;
  const float *mean, *rstd;                 // mean null: RMSNorm
  float *dweight, *dbias, *before, *after;  // partial sums (blocks, C), or null
  bool accumulate;
  int group, groups;
  int stages;                        // rows of a group in the ring
  int64_t dx_step, dy_step, x_step;  // bytes from a group's row to its next, where rows lie evenly
};

struct Pair {
  float a, b;
};

/// A thread's group of `threads`: a power of two up to a warp, or whole warps from `first` on.
struct Group {
  int index, threads, warps, first;

  __device__ explicit Group(int size)
      : index(static_cast<int>(threadIdx.x) / size), threads(size), warps(size / kWarp), first(index * warps) {}
  /// Waits for the other warps of the group only: groups are at rows of their own. Barrier 0 is the whole block's.
  __device__ void synchronise() const { asm volatile("bar.sync %0, %1;" ::"r"(index + 1), "r"(threads) : "memory"); }
};

/// Two totals over a group as reduce_group gives one, with one synchronisation.
template <bool kWholeWarps>
__device__ Pair reduce_pair(Pair v, const Group& group, Pair* slots) {
  const int lanes = kWholeWarps || group.threads > kWarp ? kWarp : group.threads;
  v = {reduce_lanes(v.a, lanes), reduce_lanes(v.b, lanes)};
  if (group.threads <= kWarp) return v;
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = v;
  group.synchronise();
  v = slots[group.first];
#pragma unroll 4
  for (int i = 1; i < group.warps; ++i) v = {v.a + slots[group.first + i].a, v.b + slots[group.first + i].b};
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

/// What a row's gradient is made of. Kept between the two passes over a row where registers are left.
template <int V>
struct Terms {
  float g[V], xhat[V];
};

constexpr int most_threads(int packs, bool sums) {
  return packs == kLonePacks ? kLoneThreads : sums ? kSumThreads : kMaxGroup;
}

/// kSums: those of dx's rows before and after too, where a thread has one pack of a row or kLonePacks.
template <class T, int V, int kPacks, bool kCentered, bool kSums>
__global__ void __launch_bounds__(most_threads(kPacks, kSums), kPacks == 1 || kPacks == kLonePacks ? 2 : 1)
    backward_kernel(const __grid_constant__ Backward a) {
  extern __shared__ uint4 ring[];  // afterwards the groups' sums
  __shared__ Pair slots[2][kWarp];
  constexpr bool kKeepsTerms = kPacks == 2 || kSums != (kPacks == kLonePacks), kWholeWarps = kPacks > 1 || kSums;
  const Group group(a.group);
  const int thread = static_cast<int>(threadIdx.x) % a.group, count = static_cast<int>(a.x.count);
  const int step = static_cast<int>(gridDim.x) * a.groups, cols = static_cast<int>(a.x.cols);
  bool inside[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) inside[k] = (thread + k * a.group) * V < cols;
  const int64_t first = int64_t{thread} * 16, stride = int64_t{a.group} * 16;  // bytes

  enum { kDy, kX, kOld, kTensors };
  const uint32_t tensor_bytes = blockDim.x * kPacks * 16, stage_bytes = kTensors * tensor_bytes;
  const uint32_t own = shared_address(ring) + threadIdx.x * 16, ring_end = own + a.stages * stage_bytes;
  const auto place = [&](uint32_t stage, int tensor, int k) {
    return stage + tensor * tensor_bytes + k * blockDim.x * 16;
  };
  const auto begin = [&](const Rows& rows, int r) {
    return (kSums ? rows.base + r * rows.outer_stride : rows.row(r)) + first;
  };
  const auto advance = [&](const Rows& rows, char*& at, int64_t bytes, int to_row) {
    at = kSums || rows.inner == 1 ? at + bytes : rows.row(to_row) + first;
  };
  int row = static_cast<int>(blockIdx.x) * a.groups + group.index;
  int fetched = row;
  char *dy_at = begin(a.dy, row), *x_at = begin(a.x, row), *old_at = begin(a.dx, row), *dx_at = old_at;
  // The group's next row, and none behind the last.
  const auto fetch = [&](uint32_t stage) {
    if (fetched < count) {
#pragma unroll
      for (int k = 0; k < kPacks; ++k) {
        if (!inside[k]) break;
        copy_ahead(place(stage, kDy, k), dy_at + k * stride);
        copy_ahead(place(stage, kX, k), x_at + k * stride);
        if (a.accumulate) copy_ahead(place(stage, kOld, k), old_at + k * stride);
      }
    }
    end_of_row();
    fetched += step;
    advance(a.dy, dy_at, a.dy_step, fetched);
    advance(a.x, x_at, a.x_step, fetched);
    advance(a.dx, old_at, a.dx_step, fetched);
  };
  const float *mean_at = a.mean + row, *rstd_at = a.rstd + row;
  const auto statistics = [&](int r) -> Pair {  // mean, rstd of the next row
    Pair of_row{};
    if (r < count) of_row = {kCentered ? *mean_at : 0.0F, *rstd_at};
    mean_at += step;
    rstd_at += step;
    return of_row;
  };
  const auto get = [&](uint32_t stage, int tensor, int k, float(&to)[V]) {
    const uint4 raw = read_shared(place(stage, tensor, k));
    unpack(reinterpret_cast<const Pack<T, V>&>(raw), to);
  };

  Pack<T, V> weight[kPacks] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (inside[k]) weight[k] = load<T, V>(a.weight, a.weight.base, (thread + k * a.group) * V);
  float dweight[kPacks][V] = {}, dbias[kCentered ? kPacks : 1][V] = {};
  float before_sum[kSums ? kPacks : 1][V] = {}, after_sum[kSums ? kPacks : 1][V] = {};
  const float scale = 1.0F / static_cast<float>(cols);
  uint32_t stage = own, next_stage = own;
  const auto after_stage = [&](uint32_t s) { return s + stage_bytes == ring_end ? own : s + stage_bytes; };
  for (int s = 0; s + 1 < a.stages; ++s, next_stage = after_stage(next_stage)) fetch(next_stage);
  Pair of_row = statistics(row);
  int turn = 0;
  // All groups of a block go around equally often: the last rows of some do not exist.
  for (int block_row = static_cast<int>(blockIdx.x) * a.groups; block_row < count; block_row += step) {
    const bool active = row < count;
    const float mean = of_row.a, rstd = of_row.b;
    of_row = statistics(row + step);  // as early as what lies in the ring: its way is as long
    fetch(next_stage);
    next_stage = after_stage(next_stage);
    wait_for_all_but(a.stages - 1);

    Terms<V> terms[kPacks];
    const auto terms_of = [&](int k, float(&dy)[V]) {
      float x[V], w[V];
      get(stage, kDy, k, dy);
      get(stage, kX, k, x);
      unpack(weight[k], w);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        terms[k].g[i] = dy[i] * w[i];
        terms[k].xhat[i] = (x[i] - mean) * rstd;
      }
    };
    Pair sums{};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside[k]) break;
      float dy[V];
      terms_of(k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        if (kCentered) sums.a += terms[k].g[i];
        sums.b = fmaf(terms[k].g[i], terms[k].xhat[i], sums.b);
        dweight[k][i] = fmaf(dy[i], terms[k].xhat[i], dweight[k][i]);
        if (kCentered) dbias[k][i] += dy[i];
      }
    }
    sums = reduce_pair<kWholeWarps>(sums, group, slots[turn]);
    turn ^= 1;
    const float mean_g = sums.a * scale, mean_g_xhat = sums.b * scale;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside[k]) break;
      float dy[V], before[V] = {}, dx[V];
      if (!kKeepsTerms) terms_of(k, dy);
      if (a.accumulate) get(stage, kOld, k, before);
#pragma unroll
      for (int i = 0; i < V; ++i)
        dx[i] = fmaf(fmaf(-terms[k].xhat[i], mean_g_xhat, terms[k].g[i] - mean_g), rstd, before[i]);
      if constexpr (kSums) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
          before_sum[k][i] += before[i];
          after_sum[k][i] += dx[i];
        }
      }
      *reinterpret_cast<Pack<T, V>*>(dx_at + k * stride) = pack<T>(dx);
    }
    row += step;
    advance(a.dx, dx_at, a.dx_step, row);
    stage = after_stage(stage);
  }
  auto* shared = reinterpret_cast<float*>(ring);
  if (a.dweight != nullptr) leave_sums<V, kPacks>(a, dweight, shared, a.dweight);
  if constexpr (kCentered)
    if (a.dbias != nullptr) leave_sums<V, kPacks>(a, dbias, shared, a.dbias);
  if constexpr (kSums) {
    if (a.before != nullptr) leave_sums<V, kPacks>(a, before_sum, shared, a.before);
    if (a.after != nullptr) leave_sums<V, kPacks>(a, after_sum, shared, a.after);
  }
}

/// Mixed or unaligned operands and rows of any length: each block takes a run of rows, and each thread adds its
/// columns' gradients to the block's row of partial sums.
__global__ void __launch_bounds__(kAnyThreads) backward_any_kernel(const __grid_constant__ Backward a) {
  __shared__ Pair slots[2][kWarp];
  const Group group(kAnyThreads);
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
    sums = reduce_pair<true>(sums, group, slots[row % 2]);
    const float mean_g = a.mean != nullptr ? sums.a / static_cast<float>(cols) : 0.0F;
    const float mean_g_xhat = sums.b / static_cast<float>(cols);
    for (int64_t c = threadIdx.x; c < cols; c += kAnyThreads) {
      const float dy = value(a.dy, at_dy, c), xhat = (value(a.x, at_x, c) - mean) * rstd;
      const float inner = fmaf(-xhat, mean_g_xhat, fmaf(dy, value(a.weight, a.weight.base, c), -mean_g));
      const float before = a.accumulate ? value(a.dx, to, c) : 0.0F;
      const float dx[1] = {fmaf(inner, rstd, before)};
      add(a.before, row, c, before);
      add(a.after, row, c, dx[0]);
      store<Any, 1>(a.dx, to, c, dx);
    }
  }
}

template <class T, int kPacks, bool kCentered, bool kSums>
void launch(const Ctx& ctx, Backward a, unsigned blocks, const NormShape& shape) {
  const int a_stage = 3 * 16 * kPacks * shape.threads();
  const int sums = shape.groups == 1 ? 0 : narrow<int>(shape.groups * a.x.cols * int64_t{sizeof(float)});
  constexpr int kFixed = 1024;  // what the kernel has besides
  a.stages = std::clamp((ctx.cuda->max_shared_bytes() - kFixed) / a_stage, 1, kMaxStages);
  const int bytes = std::max(a.stages * a_stage, sums);
  const auto kernel = backward_kernel<T, kWidth<T>, kPacks, kCentered, kSums>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "norm_backward");
  check_cuda(
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
      "norm_backward");
  kernel<<<blocks, shape.threads(), static_cast<size_t>(bytes), stream_of(ctx)>>>(a);
}

/// A warp holds a row where it can: then nobody waits for another warp.
NormShape backward_shape(int64_t row_packs, bool sums) {
  if (row_packs <= kWarp) return norm_shape(row_packs, 1, 512);
  if (row_packs > kWarp * 2 && row_packs <= kWarp * kLonePacks) return norm_shape(row_packs, kLonePacks, kLoneThreads);
  if (sums) return norm_shape(row_packs, 1, kSumThreads);
  const bool long_row = row_packs > kMaxGroup * 2;
  return norm_shape(row_packs, row_packs <= kWarp * kMaxNormPacks || long_row ? kMaxNormPacks : 2, 256);
}

}  // namespace

void norm_backward(Ctx& ctx, const NormBackward& n) {
  if (n.x.numel() == 0) return;
  narrow<int>(n.x.numel() / n.x.size(n.x.rank() - 1));  // rows are counted in 32 bits
  Backward a{.dx = Rows(n.dx),
             .dy = Rows(n.dy),
             .x = Rows(n.x),
             .weight = Rows(n.weight),
             .mean = n.mean.defined() ? n.mean.f32() : nullptr,
             .rstd = n.rstd.f32(),
             .dweight = n.dweight.defined() ? n.partial_dweight.f32() : nullptr,
             .dbias = n.dbias.defined() ? n.partial_dbias.f32() : nullptr,
             .before = n.before.defined() ? n.partial_before.f32() : nullptr,
             .after = n.after.defined() ? n.partial_after.f32() : nullptr,
             .accumulate = n.accumulate};
  const auto blocks = static_cast<unsigned>(norm_blocks(a.x.count));
  const DType dtype = n.dx.dtype;
  const bool alike =
      same_packs(a.dx, dtype) && same_packs(a.dy, dtype) && same_packs(a.x, dtype) && same_packs(a.weight, dtype);
  const int64_t row_packs = a.x.cols * dtype_size(dtype) / 16;
  const bool sums = n.before.defined() || n.after.defined();
  const NormShape shape = backward_shape(row_packs, sums);
  if (!alike || shape.packs == 0) {
    backward_any_kernel<<<blocks, kAnyThreads, 0, stream_of(ctx)>>>(a);
  } else {
    a.group = shape.group;
    a.groups = shape.groups;
    const int64_t step = int64_t{blocks} * shape.groups;
    a.dx_step = step * a.dx.outer_stride;
    a.dy_step = step * a.dy.outer_stride;
    a.x_step = step * a.x.outer_stride;
    with_type(dtype, [&]<class T>(Type<T>) {
      const auto run = [&]<int kPacks, bool kSums>(std::integral_constant<int, kPacks>,
                                                   std::integral_constant<bool, kSums>) {
        if (a.mean != nullptr)
          launch<T, kPacks, true, kSums>(ctx, a, blocks, shape);
        else
          launch<T, kPacks, false, kSums>(ctx, a, blocks, shape);
      };
      if (sums && shape.packs == kLonePacks) return run(std::integral_constant<int, kLonePacks>(), std::true_type());
      if (sums) return run(std::integral_constant<int, 1>(), std::true_type());
      with_packs(shape.packs, [&](auto packs) { run(packs, std::false_type()); });
    });
  }
  check_launch("norm_backward");
  add_rows(ctx, {{n.dweight, n.partial_dweight},
                 {n.dbias, n.partial_dbias},
                 {n.before, n.partial_before},
                 {n.after, n.partial_after}});
}

}  // namespace trireme::cuda
