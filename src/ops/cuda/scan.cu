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

constexpr int kMaxTensors = 160;  // arguments may take 4 KiB

/// Tensors whose parts are dealt to the blocks of one launch in order.
struct Squares {
  const void* data[kMaxTensors];
  int64_t n[kMaxTensors];
  int32_t first_block[kMaxTensors];
  DType dtype[kMaxTensors];
  int count;
};
static_assert(sizeof(Squares) <= 4000);

/// Sum of squares in double of this thread's share.
template <class T>
__device__ double squares_of(const void* data, int64_t begin, int64_t end) {
  double sum = 0;
  walk<false, 4>(static_cast<const T*>(data) + begin, end - begin, threadIdx.x, kThreads,
                 [&](const auto& values, int64_t) {
                   for (const float v : values) sum = fma(static_cast<double>(v), static_cast<double>(v), sum);
                 });
  return sum;
}

__global__ void __launch_bounds__(kThreads) squares_kernel(double* partial, const __grid_constant__ Squares a) {
  __shared__ double slots[kWarp];
  const auto block = static_cast<int32_t>(blockIdx.x);
  int t = 0;
  while (t + 1 < a.count && a.first_block[t + 1] <= block) ++t;
  const int64_t begin = (block - a.first_block[t]) * kSquaresPart, end = min(begin + kSquaresPart, a.n[t]);
  double sum = 0;
  switch (a.dtype[t]) {
    case DType::bf16: sum = squares_of<Bf16>(a.data[t], begin, end); break;
    case DType::f16: sum = squares_of<F16>(a.data[t], begin, end); break;
    default: sum = squares_of<float>(a.data[t], begin, end);
  }
  sum = reduce_group(sum, kThreads, slots);
  if (threadIdx.x == 0) partial[block] = sum;
}

__global__ void __launch_bounds__(kThreads) total_kernel(double* total, const double* partial, int64_t parts) {
  __shared__ double slots[kWarp];
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < parts; i += kThreads) sum += partial[i];
  sum = reduce_group(sum, kThreads, slots);
  if (threadIdx.x == 0) *total = sum;
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

void sum_squares(Ctx& ctx, const Tensor& sum, const Tensor& partial, std::span<const Tensor> xs) {
  auto* parts = partial.as<double>();
  Squares a;
  a.count = 0;
  int64_t blocks = 0;
  const auto launch = [&] {
    if (blocks > 0) squares_kernel<<<narrow<int>(blocks), kThreads, 0, stream_of(ctx)>>>(parts, a);
    parts += blocks;
    a.count = 0;
    blocks = 0;
  };
  for (const Tensor& x : xs) {
    if (x.numel() == 0) continue;
    if (a.count == kMaxTensors) launch();
    a.data[a.count] = x.data;
    a.n[a.count] = x.numel();
    a.first_block[a.count] = narrow<int32_t>(blocks);
    a.dtype[a.count++] = x.dtype;
    blocks += ceil_div(x.numel(), kSquaresPart);
  }
  launch();
  total_kernel<<<1, kThreads, 0, stream_of(ctx)>>>(sum.as<double>(), partial.as<double>(), partial.numel());
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
