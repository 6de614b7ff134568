// The two scans over all elements of a tensor: the sum of squares in double, and the first value that is not finite.
#include <algorithm>
#include <limits>

#include "base/numeric.h"
#include "ops/cuda/basic.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/walk.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 512;

/// Part `blockIdx.x` of the sum. The order of additions depends on n, the alignment and the number of blocks.
template <class T>
__global__ void __launch_bounds__(kThreads) squares_kernel(double* partial, const T* x, int64_t n) {
  __shared__ double slots[kWarp];
  double sum = 0;
  const int64_t thread = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  walk<false, 4>(x, n, thread, int64_t{gridDim.x} * kThreads, [&](const auto& values, int64_t) {
    for (const float v : values) sum = fma(static_cast<double>(v), static_cast<double>(v), sum);
  });
  sum = reduce_group(sum, kThreads, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) total_kernel(double* total, const double* partial, int parts, bool add) {
  static_assert(kThreads >= kSumSquaresParts);
  __shared__ double slots[kWarp];
  const int i = static_cast<int>(threadIdx.x);
  const double sum = reduce_group(i < parts ? partial[i] : 0.0, kThreads, slots);
  if (i == 0) *total = add ? *total + sum : sum;
}

__global__ void start_kernel(long long* first) { *first = std::numeric_limits<long long>::max(); }

/// One block a few rows. Only a bad value costs an atomic operation, and the least index does not depend on the order.
template <class T>
__global__ void __launch_bounds__(kThreads) nonfinite_kernel(long long* first, const __grid_constant__ Rows x) {
  for (int64_t row = blockIdx.x; row < x.count; row += gridDim.x) {
    auto* data = reinterpret_cast<const T*>(x.row(row));
    const int64_t thread = int64_t{blockIdx.y} * kThreads + threadIdx.x;
    walk<false, 4>(data, x.cols, thread, int64_t{gridDim.y} * kThreads, [&](const auto& values, int64_t c) {
      for (const float v : values) {
        if (!isfinite(v)) atomicMin(first, static_cast<long long>(row * x.cols + c));
        ++c;
      }
    });
  }
}

}  // namespace

void sum_squares(Ctx& ctx, const Tensor& sum, const Tensor& partial, const Tensor& x, bool accumulate) {
  const int64_t n = x.numel();
  const int64_t blocks = std::clamp<int64_t>(ceil_div(n, kThreads * 16), 1, kSumSquaresParts);
  with_type(x.dtype, [&]<class T>(Type<T>) {
    squares_kernel<T>
        <<<static_cast<unsigned>(blocks), kThreads, 0, stream_of(ctx)>>>(partial.as<double>(), x.as<const T>(), n);
  });
  total_kernel<<<1, kThreads, 0, stream_of(ctx)>>>(sum.as<double>(), partial.as<double>(), static_cast<int>(blocks),
                                                   accumulate);
  check_launch("sum_squares");
}

void find_nonfinite(Ctx& ctx, const Tensor& first, const Tensor& x) {
  start_kernel<<<1, 1, 0, stream_of(ctx)>>>(first.as<long long>());
  const Rows rows(x.contiguous() ? x.reshape({x.numel()}) : x);
  if (x.numel() > 0) {
    constexpr int64_t kMaxRows = 1 << 16;
    const dim3 grid(static_cast<unsigned>(std::min(rows.count, kMaxRows)),
                    static_cast<unsigned>(std::clamp<int64_t>(ceil_div(rows.cols, kThreads * 32), 1, 1024)));
    with_type(x.dtype, [&]<class T>(Type<T>) {
      nonfinite_kernel<T><<<grid, kThreads, 0, stream_of(ctx)>>>(first.as<long long>(), rows);
    });
  }
  check_launch("find_nonfinite");
}

}  // namespace trireme::cuda
