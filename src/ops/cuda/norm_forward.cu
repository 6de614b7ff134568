// Forward of both norms. The fast kernel reads every row once and keeps it in registers; the other one takes mixed or
// unaligned operands and rows of any length, and reads a row again for each pass.
#include "ops/cuda/early.cuh"
#include "ops/cuda/norm.cuh"
#include "ops/cuda/norm.h"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;  // of a block, where rows are short
constexpr int64_t kFewRows = 8;

struct Forward {
  Rows y, x, residual, delta, weight, bias;  // x: what is normed; written first where has_delta
  float *mean, *rstd;                        // mean null: RMSNorm
  bool has_delta, has_bias;
  float eps;
  int group, groups;
};

/// `slots` hold two warps' worth of partial sums: one for each of the two reductions.
template <class T, int V, int kPacks>
__global__ void __launch_bounds__(kMaxGroup) forward_kernel(const __grid_constant__ Forward a) {
  __shared__ float slots[2][kWarp];
  const int thread = static_cast<int>(threadIdx.x) % a.group;
  const int64_t row = int64_t{blockIdx.x} * a.groups + static_cast<int>(threadIdx.x) / a.group;
  const bool active = row < a.y.count;
  const char* from = a.residual.row(active ? row : 0);
  const int64_t stride = int64_t{a.group} * V, first = int64_t{thread} * V;
  let_next_begin();
  Pack<T, V> weight = {};  // was there long before. Where rows are many, registers are worth more
  if (kPacks == 1 && first < a.y.cols) weight = load<T, V>(a.weight, a.weight.base, first);
  wait_for_previous();

  Pack<T, V> raw[kPacks] = {}, added[kPacks] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (const int64_t c = first + k * stride; active && c < a.y.cols) raw[k] = load<T, V>(a.residual, from, c);
  if (a.has_delta) {
    const char* delta = a.delta.row(active ? row : 0);
#pragma unroll
    for (int k = 0; k < kPacks; ++k)
      if (const int64_t c = first + k * stride; active && c < a.y.cols) added[k] = load<T, V>(a.delta, delta, c);
  }

  float x[kPacks][V], sum = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    unpack(raw[k], x[k]);
    if (a.has_delta) {
      float d[V];
      unpack(added[k], d);
#pragma unroll
      for (int i = 0; i < V; ++i) x[k][i] = rounded<T>(a.x, x[k][i] + d[i]);
      if (const int64_t c = first + k * stride; active && c < a.y.cols) store<T, V>(a.x, a.x.row(row), c, x[k]);
    }
#pragma unroll
    for (int i = 0; i < V; ++i) sum += x[k][i];
  }
  const auto count = static_cast<float>(a.y.cols);
  const float mean = a.mean != nullptr ? reduce_group(sum, a.group, slots[0]) / count : 0.0F;
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k)
    if (first + k * stride < a.y.cols)
#pragma unroll
      for (int i = 0; i < V; ++i) squares = fmaf(x[k][i] - mean, x[k][i] - mean, squares);
  const float rstd = 1.0F / sqrtf(reduce_group(squares, a.group, slots[1]) / count + a.eps);

  if (!active) return;
  char* to = a.y.row(row);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t c = first + k * stride;
    if (c >= a.y.cols) break;
    float w[V], b[V] = {}, y[V];
    unpack(kPacks == 1 ? weight : load<T, V>(a.weight, a.weight.base, c), w);
    if (a.has_bias) unpack(load<T, V>(a.bias, a.bias.base, c), b);
#pragma unroll
    for (int i = 0; i < V; ++i) y[i] = fmaf((x[k][i] - mean) * rstd, w[i], b[i]);
    store<T, V>(a.y, to, c, y);
  }
  if (thread == 0) {
    a.rstd[row] = rstd;
    if (a.mean != nullptr) a.mean[row] = mean;
  }
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
            .has_delta = n.delta.defined(),
            .has_bias = n.bias.defined(),
            .eps = n.eps};
  if (n.y.numel() == 0) return;
  const auto fits = [&](const Rows& r) { return r.base == nullptr || same_packs(r, a.y.dtype); };
  const bool alike = fits(a.y) && fits(a.x) && fits(a.residual) && fits(a.delta) && fits(a.weight) && fits(a.bias);
  // For few rows as many threads as there are: then it is not throughput that counts.
  const int packs = a.y.count <= kFewRows ? 1 : kMaxNormPacks;
  const NormShape shape = norm_shape(a.y.cols * dtype_size(a.y.dtype) / 16, packs, kThreads);
  if (!alike || shape.packs == 0) {
    forward_any_kernel<<<narrow<int>(a.y.count), kThreads, 0, stream_of(ctx)>>>(a);
    return check_launch("norm_forward");
  }
  a.group = shape.group;
  a.groups = shape.groups;
  const auto blocks = narrow<int>(ceil_div(a.y.count, shape.groups));
  with_type(n.y.dtype, [&]<class T>(Type<T>) {
    with_packs(shape.packs, [&]<int kPacks>(std::integral_constant<int, kPacks>) {
      launch_early(ctx, forward_kernel<T, kWidth<T>, kPacks>, dim3(static_cast<unsigned>(blocks)), shape.threads(), a);
    });
  });
  check_launch("norm_forward");
}

}  // namespace trireme::cuda
