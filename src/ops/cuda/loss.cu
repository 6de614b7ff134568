// Cross-entropy, one block a row: one pass over memory for the statistics (every thread keeps a running maximum), one
// in place for the gradient. Rows may begin at any address.
#include "ops/cuda/loss.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/walk.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kRowThreads = 1024;  // of cross_entropy: few rows at a time, so that the second pass finds them in the L2
constexpr int kRowBlocks = 2;      // a processor, at most: one computes while the other moves memory

__device__ constexpr float minus_infinity() { return -INFINITY; }

struct Stats {
  float max = minus_infinity();
  float sum = 0;
};

/// Adds V logits. NaNs may be overlooked by the maximum: the sum of exponentials still carries them. A row (or slice)
/// of -inf adds nothing: its terms are exp(-inf - 0), and not exp(-inf + inf).
template <int V>
__device__ void add_logits(Stats& s, const float (&x)[V]) {
  float max = x[0];
#pragma unroll
  for (int i = 1; i < V; ++i) max = fmaxf(max, x[i]);
  if (max > s.max) {
    s.sum *= __expf(s.max - max);
    s.max = max;
  }
  const float shift = s.max == minus_infinity() ? 0.0F : s.max;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < V; ++i) sum += __expf(x[i] - shift);
  s.sum += sum;
}

/// The whole row's statistics, in every thread of a block of `threads`.
template <int kAtOnce, class T>
__device__ Stats row_stats(const T* x, int64_t n, int threads) {
  __shared__ float slots[2][kWarp];
  Stats s;
  walk<false, kAtOnce>(x, n, threadIdx.x, threads, [&](const auto& values, int64_t) { add_logits(s, values); });
  const float max = reduce_group(s.max, threads, slots[0], Maximum());
  if (s.max != max && s.max != minus_infinity()) s.sum *= expf(s.max - max);
  return {max, reduce_group(s.sum, threads, slots[1])};
}

/// x = factor * (exp(x - lse) - [column is the target]); nothing of an ignored row counts, not even a NaN.
template <int kAtOnce, class T>
__device__ void write_gradient(T* x, int64_t n, int threads, float lse, float factor, int64_t target) {
  if (factor == 0) {
    walk<true, kAtOnce>(x, n, threadIdx.x, threads, [](auto& values, int64_t) {
      for (float& v : values) v = 0;
    });
    return;
  }
  walk<true, kAtOnce>(x, n, threadIdx.x, threads, [&]<int V>(float(&values)[V], int64_t c) {
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = __expf(values[i] - lse) * factor;
    if (target < c || target >= c + V) return;
#pragma unroll
    for (int i = 0; i < V; ++i)
      if (c + i == target) values[i] -= factor;
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    stats_kernel(float* row_max, float* row_sum, float* target_logit, const __grid_constant__ Rows logits,
                 const int32_t* targets, int64_t col_begin) {
  const int64_t row = blockIdx.x;
  const auto* x = reinterpret_cast<const T*>(logits.row(row));
  const Stats s = row_stats<4>(x, logits.cols, kThreads);
  if (threadIdx.x != 0) return;
  const int64_t column = targets[row] - col_begin;
  row_max[row] = s.max;
  row_sum[row] = s.sum;
  target_logit[row] = column >= 0 && column < logits.cols ? to_f32(x[column]) : 0.0F;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const __grid_constant__ Rows logits, const float* lse, const int32_t* targets, const float* weights,
                    float scale, int64_t col_begin) {
  const int64_t row = blockIdx.x;
  write_gradient<4>(reinterpret_cast<T*>(logits.row(row)), logits.cols, kThreads, lse[row], scale * weights[row],
                    targets[row] - col_begin);
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks)
    whole_kernel(float* loss, const __grid_constant__ Rows logits, const int32_t* targets, const float* weights,
                 float scale) {
  const int64_t row = blockIdx.x, target = targets[row];
  auto* x = reinterpret_cast<T*>(logits.row(row));
  const float target_logit = target >= 0 && target < logits.cols ? to_f32(x[target]) : 0.0F;
  const Stats s = row_stats<2>(x, logits.cols, kRowThreads);  // synchronises: all have read the target's logit
  const float log_sum = logf(s.sum);
  if (threadIdx.x == 0) loss[row] = (s.max - target_logit) + log_sum;
  write_gradient<2>(x, logits.cols, kRowThreads, s.max + log_sum, scale * weights[row], target);
}

__global__ void __launch_bounds__(kThreads)
    rescale_kernel(float* sum, const float* local, const float* global, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) sum[i] *= expf(local[i] - global[i]);
}

__global__ void __launch_bounds__(kThreads)
    loss_kernel(float* loss, float* lse, const float* max, const float* sum, const float* target, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const float log_sum = logf(sum[i]);
  lse[i] = max[i] + log_sum;
  // In this order the difference of two large logits is exact and the small log is not lost in them.
  loss[i] = (max[i] - target[i]) + log_sum;
}

__global__ void __launch_bounds__(kThreads)
    weighted_sum_kernel(double* total, const float* weights, const float* loss, int64_t n) {
  __shared__ double slots[kWarp];
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < n; i += kThreads)
    sum += static_cast<double>(weights[i]) * static_cast<double>(loss[i]);
  sum = reduce_group(sum, kThreads, slots);
  if (threadIdx.x == 0) *total += sum;
}

unsigned blocks_of(int64_t n) { return narrow<int>(ceil_div(n, kThreads)); }

}  // namespace

void cross_entropy_stats(Ctx& ctx, const Tensor& row_max, const Tensor& row_sum, const Tensor& target_logit,
                         const Tensor& logits, const Tensor& targets, int64_t col_begin) {
  const Rows rows(logits);
  if (rows.count == 0) return;
  with_type(logits.dtype, [&]<class T>(Type<T>) {
    stats_kernel<T><<<narrow<int>(rows.count), kThreads, 0, stream_of(ctx)>>>(
        row_max.f32(), row_sum.f32(), target_logit.f32(), rows, targets.i32(), col_begin);
  });
  check_launch("cross_entropy_stats");
}

void cross_entropy_rescale(Ctx& ctx, const Tensor& row_sum, const Tensor& row_max, const Tensor& global_max) {
  const int64_t n = row_sum.numel();
  if (n == 0) return;
  rescale_kernel<<<blocks_of(n), kThreads, 0, stream_of(ctx)>>>(row_sum.f32(), row_max.f32(), global_max.f32(), n);
  check_launch("cross_entropy_rescale");
}

void cross_entropy_loss(Ctx& ctx, const Tensor& loss, const Tensor& lse, const Tensor& row_max, const Tensor& row_sum,
                        const Tensor& target_logit) {
  const int64_t n = loss.numel();
  if (n == 0) return;
  loss_kernel<<<blocks_of(n), kThreads, 0, stream_of(ctx)>>>(loss.f32(), lse.f32(), row_max.f32(), row_sum.f32(),
                                                             target_logit.f32(), n);
  check_launch("cross_entropy_loss");
}

void cross_entropy_backward(Ctx& ctx, const Tensor& logits, const Tensor& lse, const Tensor& targets,
                            const Tensor& weights, float scale, int64_t col_begin) {
  const Rows rows(logits);
  if (rows.count == 0) return;
  with_type(logits.dtype, [&]<class T>(Type<T>) {
    backward_kernel<T><<<narrow<int>(rows.count), kThreads, 0, stream_of(ctx)>>>(rows, lse.f32(), targets.i32(),
                                                                                 weights.f32(), scale, col_begin);
  });
  check_launch("cross_entropy_backward");
}

void cross_entropy(Ctx& ctx, const Tensor& loss, const Tensor& logits, const Tensor& targets, const Tensor& weights,
                   float scale) {
  const Rows rows(logits);
  if (rows.count == 0) return;
  // Rows that would push each other out of the L2 between the passes come one a processor: shared memory that nobody
  // uses keeps a second block away.
  const int64_t in_flight = kRowBlocks * ctx.cuda->multiprocessors() * rows.cols * dtype_size(logits.dtype);
  const int unused = in_flight > ctx.cuda->l2_bytes() * int64_t{2} / 3 ? ctx.cuda->max_shared_bytes() / 2 + 1024 : 0;
  with_type(logits.dtype, [&]<class T>(Type<T>) {
    check_cuda(cudaFuncSetAttribute(whole_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, unused),
               "cross_entropy");
    whole_kernel<T><<<narrow<int>(rows.count), kRowThreads, static_cast<size_t>(unused), stream_of(ctx)>>>(
        loss.f32(), rows, targets.i32(), weights.f32(), scale);
  });
  check_launch("cross_entropy");
}

void weighted_sum(Ctx& ctx, const Tensor& sum, const Tensor& weights, const Tensor& loss) {
  weighted_sum_kernel<<<1, kThreads, 0, stream_of(ctx)>>>(sum.as<double>(), weights.f32(), loss.f32(), loss.numel());
  check_launch("weighted_sum");
}

}  // namespace trireme::cuda
