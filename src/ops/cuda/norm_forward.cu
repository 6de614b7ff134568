// Forward of both norms. The fast kernel reads every row once and keeps it in registers; the other one takes mixed or
// unaligned operands and rows of any length, and reads a row again for each pass.
#include "ops/cuda/early.cuh"
#include "ops/cuda/float8.h"
#include "ops/cuda/largest.cuh"
#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;  // of a block, where rows are short
constexpr int64_t kFewRows = 8;

struct Forward {
  Rows y, x, residual, delta, weight, bias;  // x: what is normed; written first where has_delta
  float *mean, *rstd;                        // mean null: RMSNorm
  uint32_t* largest;                         // raised to y's largest magnitude, an f32 as bits; or null
  bool has_delta, has_bias;
  float eps;
};

/// The total over a row's threads, threadIdx.x of `group`, in each of them. As reduce_group of reduce.cuh, and in its
/// order.
__device__ float reduce_row(float v, int group, float* slots) {
  if (group < kWarp) return reduce_lanes(v, group);
  v = reduce_lanes(v);
  if (group == kWarp) return v;
  const unsigned warps = static_cast<unsigned>(group) / kWarp;
  slots += threadIdx.y * warps;
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = v;
  __syncthreads();
  v = slots[0];
#pragma unroll 4
  for (unsigned i = 1; i < warps; ++i) v += slots[i];
  return v;
}

/// A block has rows of `group` threads. `slots` hold two warps' worth of partial sums: one for each of the two
/// reductions.
template <class T, int V, int kPacks, bool kCentered, bool kDelta>
__global__ void __launch_bounds__(kMaxGroup) forward_kernel(const __grid_constant__ Forward a) {
  __shared__ float slots[2][kWarp];
  const int group = static_cast<int>(blockDim.x), cols = static_cast<int>(a.y.cols);
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  const bool active = row < a.y.count;
  const char* from = a.residual.row(active ? row : 0);
  const int stride = group * V, first = static_cast<int>(threadIdx.x) * V;
  let_next_begin();
  Pack<T, V> weights[kPacks] = {};  // were there long before. Where a delta takes the registers, they come late
  if (kPacks == 1 && first < cols) weights[0] = load<T, V>(a.weight, a.weight.base, first);
  wait_for_previous();

  Pack<T, V> raw[kPacks] = {}, added[kPacks] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (const int c = first + k * stride; active && c < cols) raw[k] = load<T, V>(a.residual, from, c);
  if constexpr (kDelta) {
    const char* delta = a.delta.row(active ? row : 0);
#pragma unroll
    for (int k = 0; k < kPacks; ++k)
      if (const int c = first + k * stride; active && c < cols) added[k] = load<T, V>(a.delta, delta, c);
  } else if constexpr (kPacks > 1) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k)
      if (const int c = first + k * stride; c < cols) weights[k] = load<T, V>(a.weight, a.weight.base, c);
  }

  float x[kPacks][V], sum = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    unpack(raw[k], x[k]);
    if constexpr (kDelta) {
      float d[V];
      unpack(added[k], d);
#pragma unroll
      for (int i = 0; i < V; ++i) x[k][i] = rounded<T>(a.x, x[k][i] + d[i]);
      if (const int c = first + k * stride; active && c < cols) store<T, V>(a.x, a.x.row(row), c, x[k]);
    }
    if constexpr (kCentered)
#pragma unroll
      for (int i = 0; i < V; ++i) sum += x[k][i];
  }
  const auto count = static_cast<float>(cols);
  const float mean = kCentered ? reduce_row(sum, group, slots[0]) / count : 0.0F;
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (!kCentered || first + k * stride < cols)  // what is beyond the row is 0
#pragma unroll
      for (int i = 0; i < V; ++i) {
        if constexpr (kCentered) x[k][i] -= mean;
        squares = fmaf(x[k][i], x[k][i], squares);
      }
  const float rstd = 1.0F / sqrtf(reduce_row(squares, group, slots[1]) / count + a.eps);

  uint32_t halves = 0;
  char* to = a.y.row(row);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int c = first + k * stride;
    if (!active || c >= cols) break;
    float w[V], b[V] = {}, y[V];
    unpack(kPacks > 1 && kDelta ? load<T, V>(a.weight, a.weight.base, c) : weights[k], w);
    if (kCentered && a.has_bias) unpack(load<T, V>(a.bias, a.bias.base, c), b);
#pragma unroll
    for (int i = 0; i < V; ++i) y[i] = fmaf(x[k][i] * rstd, w[i], b[i]);
    store<T, V>(a.y, to, c, y);
    if constexpr (std::is_same_v<T, Bf16>) halves = larger_halves(halves, pack<T>(y));
  }
  if (active && threadIdx.x == 0) {
    a.rstd[row] = rstd;
    if constexpr (kCentered) a.mean[row] = mean;
  }
  if constexpr (std::is_same_v<T, Bf16>)
    if (a.largest != nullptr) leave_largest(a.largest, halves);
}

template <class T, int kPacks>
auto kernel_of(const Forward& a) {
  constexpr int V = kWidth<T>;
  if (a.mean != nullptr)
    return a.has_delta ? forward_kernel<T, V, kPacks, true, true> : forward_kernel<T, V, kPacks, true, false>;
  return a.has_delta ? forward_kernel<T, V, kPacks, false, true> : forward_kernel<T, V, kPacks, false, false>;
}

/// One block a row.
__global__ void __launch_bounds__(kThreads) forward_any_kernel(const __grid_constant__ Forward a) {
  __shared__ float slots[2][kWarp];
  const int64_t row = blockIdx.x;
  const auto value = [](const Rows& rows, const char* at, int64_t c) { return load<Any, 1>(rows, at, c).value; };
  char* x = a.x.row(row);
  float sum = 0;
  for (int64_t c = threadIdx.x; c < a.y.cols; c += kThreads) {
    if (a.has_delta) {
      const float both[1] = {value(a.residual, a.residual.row(row), c) + value(a.delta, a.delta.row(row), c)};
      store<Any, 1>(a.x, x, c, both);
    }
    sum += value(a.x, x, c);
  }
  const auto count = static_cast<float>(a.y.cols);
  const float mean = a.mean != nullptr ? reduce_group(sum, kThreads, slots[0]) / count : 0.0F;
  float squares = 0;
  for (int64_t c = threadIdx.x; c < a.y.cols; c += kThreads) {
    const float centered = value(a.x, x, c) - mean;
    squares = fmaf(centered, centered, squares);
  }
  const float rstd = 1.0F / sqrtf(reduce_group(squares, kThreads, slots[1]) / count + a.eps);
  for (int64_t c = threadIdx.x; c < a.y.cols; c += kThreads) {
    const float b = a.has_bias ? value(a.bias, a.bias.base, c) : 0.0F;
    const float y[1] = {fmaf((value(a.x, x, c) - mean) * rstd, value(a.weight, a.weight.base, c), b)};
    store<Any, 1>(a.y, a.y.row(row), c, y);
  }
  if (threadIdx.x == 0) {
    a.rstd[row] = rstd;
    if (a.mean != nullptr) a.mean[row] = mean;
  }
}

}  // namespace

void norm_forward(Ctx& ctx, const NormForward& n) {
  Forward a{.y = Rows(n.y),
            .x = Rows(n.delta.defined() ? n.x : n.residual),
            .residual = Rows(n.residual),
            .delta = n.delta.defined() ? Rows(n.delta) : Rows(),
            .weight = Rows(n.weight),
            .bias = n.bias.defined() ? Rows(n.bias) : Rows(),
            .mean = n.mean.defined() ? n.mean.f32() : nullptr,
            .rstd = n.rstd.f32(),
            .largest = n.largest.defined() ? n.largest.as<uint32_t>() : nullptr,
            .has_delta = n.delta.defined(),
            .has_bias = n.bias.defined(),
            .eps = n.eps};
  if (n.y.numel() == 0) {
    if (n.largest.defined()) clear_largest(ctx, n.largest);
    return;
  }
  const auto fits = [&](const Rows& r) { return r.base == nullptr || same_packs(r, a.y.dtype); };
  const bool alike = fits(a.y) && fits(a.x) && fits(a.residual) && fits(a.delta) && fits(a.weight) && fits(a.bias);
  // For few rows as many threads as there are: then it is not throughput that counts.
  const int packs = a.y.count <= kFewRows ? 1 : kMaxNormPacks;
  const NormShape shape = norm_shape(a.y.cols * dtype_size(a.y.dtype) / 16, packs, kThreads);
  if (!alike || shape.packs == 0) {
    forward_any_kernel<<<narrow<int>(a.y.count), kThreads, 0, stream_of(ctx)>>>(a);
    check_launch("norm_forward");
    if (n.largest.defined()) find_largest(ctx, n.largest, n.y);
    return;
  }
  if (n.largest.defined()) clear_largest(ctx, n.largest);
  const dim3 grid(narrow<unsigned>(ceil_div(a.y.count, shape.groups)));
  const dim3 block(static_cast<unsigned>(shape.group), static_cast<unsigned>(shape.groups));
  with_type(n.y.dtype, [&]<class T>(Type<T>) {
    with_packs(shape.packs, [&]<int kPacks>(std::integral_constant<int, kPacks>) {
      launch_early(ctx, kernel_of<T, kPacks>(a), grid, block, a);
    });
  });
  check_launch("norm_forward");
}

}  // namespace trireme::cuda
