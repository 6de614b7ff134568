// Cross-entropy in steps, for vocabularies in slices, one block a row: one pass over memory for the statistics (every
// thread keeps a running maximum), one in place for the gradient. Rows may begin at any address.
#include "ops/cuda/loss.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/logits.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 512;

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
  write_gradient<4>(reinterpret_cast<T*>(logits.row(row)), logits.cols, kThreads,
                    {lse[row], scale * weights[row], targets[row] - col_begin});
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

void weighted_sum(Ctx& ctx, const Tensor& sum, const Tensor& weights, const Tensor& loss) {
  weighted_sum_kernel<<<1, kThreads, 0, stream_of(ctx)>>>(sum.as<double>(), weights.f32(), loss.f32(), loss.numel());
  check_launch("weighted_sum");
}

}  // namespace trireme::cuda
