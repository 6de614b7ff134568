// Backward of both norms. Each block walks over rows with the sums of the parameter gradients of its columns in
// registers and the next row already on its way; it leaves one row of partial sums, which are added in order.
#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"
#include "ops/cuda/sum_rows.h"

namespace trireme::cuda {
namespace {

struct Backward {
  Rows dx, dy, x, weight;
  const float *mean, *rstd;  // mean null: RMSNorm
  float *dweight, *dbias;    // partial sums (blocks, C), or null
  bool accumulate;
  int group, groups;
};

struct Pair {
  float a, b;
};

/// Two totals over a group as reduce_group gives one, with one synchronisation.
__device__ Pair reduce_pair(Pair v, int threads, Pair* slots) {
  const int lanes = threads < kWarp ? threads : kWarp;
  v = {reduce_lanes(v.a, lanes), reduce_lanes(v.b, lanes)};
  if (threads <= kWarp) return v;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0) slots[warp] = v;
  __syncthreads();
  const int warps = threads / kWarp, first = warp / warps * warps;
  v = slots[first];
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
__global__ void __launch_bounds__(kMaxGroup) backward_kernel(const __grid_constant__ Backward a) {
  extern __shared__ float shared[];
  __shared__ Pair slots[2][kWarp];
  const int thread = static_cast<int>(threadIdx.x) % a.group;
  const int64_t first = int64_t{thread} * V, stride = int64_t{a.group} * V;
  const int64_t step = int64_t{gridDim.x} * a.groups;
  const auto inside = [&](int k) { return first + k * stride < a.x.cols; };

  Pack<T, V> weight[kPacks] = {}, next_dy[kPacks] = {}, next_x[kPacks] = {};
  const auto fetch = [&](int64_t row) {
    if (row >= a.x.count) return;
    const char *dy = a.dy.row(row), *x = a.x.row(row);
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!inside(k)) break;
      next_dy[k] = load<T, V>(a.dy, dy, first + k * stride);
      next_x[k] = load<T, V>(a.x, x, first + k * stride);
    }
  };
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (inside(k)) weight[k] = load<T, V>(a.weight, a.weight.base, first + k * stride);

  float dweight[kPacks][V] = {}, dbias[kCentered ? kPacks : 1][V] = {};
  const float scale = 1.0F / static_cast<float>(a.x.cols);
  int64_t row = int64_t{blockIdx.x} * a.groups + static_cast<int>(threadIdx.x) / a.group;
  constexpr bool kAhead = kPacks <= 2;  // longer rows have no registers left for the next one
  if (kAhead) fetch(row);
  int turn = 0;
  // All groups of a block go around equally often: the last rows of some do not exist.
  for (int64_t block_row = int64_t{blockIdx.x} * a.groups; block_row < a.x.count; block_row += step, row += step) {
    const bool active = row < a.x.count;
    Pack<T, V> dy[kPacks], x[kPacks], old[kPacks];
    if (!kAhead) fetch(row);
#pragma unroll
    for (int k = 0; k < kPacks; ++k) dy[k] = next_dy[k], x[k] = next_x[k];
    if (a.accumulate && active)
#pragma unroll
      for (int k = 0; k < kPacks; ++k)
        if (inside(k)) old[k] = load<T, V>(a.dx, a.dx.row(row), first + k * stride);
    if (kAhead) fetch(row + step);

    const float mean = kCentered && active ? a.mean[row] : 0.0F, rstd = active ? a.rstd[row] : 0.0F;
    Pair sums{};
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside(k)) break;
      float vdy[V], vx[V], vw[V];
      unpack(dy[k], vdy);
      unpack(x[k], vx);
      unpack(weight[k], vw);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = (vx[i] - mean) * rstd, g = vdy[i] * vw[i];
        if (kCentered) sums.a += g;
        sums.b = fmaf(g, xhat, sums.b);
        dweight[k][i] = fmaf(vdy[i], xhat, dweight[k][i]);
        if (kCentered) dbias[k][i] += vdy[i];
      }
    }
    sums = reduce_pair(sums, a.group, slots[turn]);
    turn ^= 1;
    const float mean_g = sums.a * scale, mean_g_xhat = sums.b * scale;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      if (!active || !inside(k)) break;
      float vdy[V], vx[V], vw[V], before[V] = {}, dx[V];
      unpack(dy[k], vdy);
      unpack(x[k], vx);
      unpack(weight[k], vw);
      if (a.accumulate) unpack(old[k], before);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = (vx[i] - mean) * rstd;
        dx[i] = fmaf(fmaf(-xhat, mean_g_xhat, fmaf(vdy[i], vw[i], -mean_g)), rstd, before[i]);
      }
      store<T, V>(a.dx, a.dx.row(row), first + k * stride, dx);
    }
  }
  if (a.dweight != nullptr) leave_sums<V, kPacks>(a, dweight, shared, a.dweight);
  if constexpr (kCentered)
    if (a.dbias != nullptr) leave_sums<V, kPacks>(a, dbias, shared, a.dbias);
}

/// Mixed or unaligned operands and rows of any length: each block takes a run of rows, and each thread adds its
/// columns' gradients to the block's row of partial sums.
__global__ void __launch_bounds__(kNormThreads) backward_any_kernel(const __grid_constant__ Backward a) {
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
    for (int64_t c = threadIdx.x; c < cols; c += kNormThreads) {
      const float dy = value(a.dy, at_dy, c), xhat = (value(a.x, at_x, c) - mean) * rstd;
      const float g = dy * value(a.weight, a.weight.base, c);
      sums = {sums.a + g, fmaf(g, xhat, sums.b)};
      add(a.dweight, row, c, dy * xhat);
      add(a.dbias, row, c, dy);
    }
    sums = reduce_pair(sums, kNormThreads, slots[row % 2]);
    const float mean_g = a.mean != nullptr ? sums.a / static_cast<float>(cols) : 0.0F;
    const float mean_g_xhat = sums.b / static_cast<float>(cols);
    for (int64_t c = threadIdx.x; c < cols; c += kNormThreads) {
      const float dy = value(a.dy, at_dy, c), xhat = (value(a.x, at_x, c) - mean) * rstd;
      const float inner = fmaf(-xhat, mean_g_xhat, fmaf(dy, value(a.weight, a.weight.base, c), -mean_g));
      const float before = a.accumulate ? value(a.dx, to, c) : 0.0F;
      const float dx[1] = {fmaf(inner, rstd, before)};
      store<Any, 1>(a.dx, to, c, dx);
    }
  }
}

template <class T, int kPacks, bool kCentered>
void launch(const Ctx& ctx, const Backward& a, unsigned blocks, const NormShape& shape) {
  const auto bytes = shape.groups == 1 ? 0 : static_cast<size_t>(shape.groups * a.x.cols) * sizeof(float);
  backward_kernel<T, kWidth<T>, kPacks, kCentered><<<blocks, shape.threads(), bytes, stream_of(ctx)>>>(a);
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
  const NormShape shape = norm_shape(a.x.cols * dtype_size(dtype) / 16, 2);
  if (!alike || shape.packs == 0) {
    backward_any_kernel<<<blocks, kNormThreads, 0, stream_of(ctx)>>>(a);
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
