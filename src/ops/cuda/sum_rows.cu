// Column sums in two stages: blocks of rows leave partial sums, which are then added in order. The warps of a block
// take turns at its rows; every lane owns a pack of columns.
#include "ops/cuda/sum_rows.h"

#include "ops/cuda/float8.h"
#include "ops/cuda/largest.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kAtOnce = 8;  // rows in flight a thread
constexpr int kAddWarps = 32;

/// One block a tile of columns and part of the rows. `largest`: raised to the largest magnitude, an f32 as bits; or
/// null.
template <class T, int V>
__global__ void __launch_bounds__(kWarps* kWarp, 4)
    partial_kernel(float* partial, const __grid_constant__ Rows x, uint32_t* largest) {
  constexpr int kCols = kWarp * V;
  __shared__ float sums[kWarps][kCols];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t part = blockIdx.y, col = int64_t{blockIdx.x} * kCols + lane * V;
  const int64_t end = part_begin(x.count, gridDim.y, part + 1);
  float sum[V] = {};
  uint32_t halves = 0;
  if (col < x.cols) {
    const auto add = [&](const Pack<T, V>& raw) {
      if constexpr (std::is_same_v<T, Bf16>) halves = larger_halves(halves, raw);
      float v[V];
      unpack(raw, v);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] += v[i];
    };
    int64_t row = part_begin(x.count, gridDim.y, part) + warp;
    const char* at = x.base + row * x.outer_stride;
    const int64_t step = kWarps * x.outer_stride;
    for (; row + (kAtOnce - 1) * kWarps < end; row += kWarps * kAtOnce) {
      Pack<T, V> raw[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u, at += step) raw[u] = load<T, V>(x, at, col);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) add(raw[u]);
    }
#pragma unroll 4
    for (; row < end; row += kWarps, at += step) add(load<T, V>(x, at, col));
  }
#pragma unroll
  for (int i = 0; i < V; ++i) sums[warp][lane * V + i] = sum[i];
  __syncthreads();
  if constexpr (std::is_same_v<T, Bf16>)
    if (largest != nullptr) leave_largest(largest, halves);
  for (int c = static_cast<int>(threadIdx.x); c < kCols; c += kWarps * kWarp) {
    const int64_t to = int64_t{blockIdx.x} * kCols + c;
    if (to >= x.cols) break;
    float total = sums[0][c];
    for (int w = 1; w < kWarps; ++w) total += sums[w][c];
    partial[part * x.cols + to] = total;
  }
}

struct Added {
  float* out[kMostAdded];
  const float* partial[kMostAdded];
  int64_t rows, cols;
};

/// One block a warp's width of columns: there are few of them, so each gets many warps.
__global__ void __launch_bounds__(kAddWarps* kWarp) add_rows_kernel(const __grid_constant__ Added a) {
  const int64_t rows = a.rows, cols = a.cols;
  const float* partial = a.partial[blockIdx.y];
  __shared__ float sums[kAddWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t col = int64_t{blockIdx.x} * kWarp + lane;
  float sum = 0;
  if (col < cols)
#pragma unroll 8
    for (int64_t row = warp; row < rows; row += kAddWarps) sum += partial[row * cols + col];
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || col >= cols) return;
#pragma unroll 8
  for (int w = 1; w < kAddWarps; ++w) sum += sums[w][lane];
  a.out[blockIdx.y][col] += sum;
}

template <class T, int V>
void launch(const Ctx& ctx, const Tensor& partial, const Rows& x, uint32_t* largest = nullptr) {
  const dim3 grid(narrow<unsigned>(ceil_div(x.cols, kWarp * V)), narrow<unsigned>(partial.size(0)));
  partial_kernel<T, V><<<grid, kWarps * kWarp, 0, stream_of(ctx)>>>(partial.f32(), x, largest);
}

}  // namespace

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& partial, const Tensor& x, const Tensor& largest) {
  if (largest.defined()) clear_largest(ctx, largest);
  if (x.numel() == 0) return;
  const Rows rows(x);
  if (packs_fit(rows, x.dtype == DType::f32 ? 4 : 8)) {
    uint32_t* raised = largest.defined() ? largest.as<uint32_t>() : nullptr;
    with_type(x.dtype, [&]<class T>(Type<T>) { launch<T, kWidth<T>>(ctx, partial, rows, raised); });
  } else {
    launch<Any, 1>(ctx, partial, rows);
    if (largest.defined()) find_largest(ctx, largest, x);
  }
  check_launch("sum_rows");
  add_rows(ctx, {{out, partial}});
}

void add_rows(Ctx& ctx, std::initializer_list<RowsToAdd> all) {
  Added a{};
  unsigned count = 0;
  for (const RowsToAdd& one : all) {
    if (!one.out.defined() || one.out.numel() == 0) continue;
    a.out[count] = one.out.f32();
    a.partial[count++] = one.partial.f32();
    a.rows = one.partial.size(0);
    a.cols = one.partial.size(1);
  }
  if (count == 0) return;
  const dim3 grid(narrow<unsigned>(ceil_div(a.cols, kWarp)), count);
  add_rows_kernel<<<grid, kAddWarps * kWarp, 0, stream_of(ctx)>>>(a);
  check_launch("add_rows");
}

}  // namespace trireme::cuda
