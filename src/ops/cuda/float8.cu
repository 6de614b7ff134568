// bf16 into 8-bit floats: one pass for the largest value, one that writes the codes by rows and transposed. A tile's
// codes are turned in registers, four rows at a time, and leave through shared memory as whole lines of the transpose.
#include "ops/cuda/float8.h"

#include <cuda_fp8.h>

#include <algorithm>

#include "base/numeric.h"
#include "ops/cuda/largest.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"
#include "tensor/float8.h"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTileRows = 128, kTileCols = 64;  // of a block; a thread has 4 rows of 8 columns
constexpr int kThreadRows = 4, kThreadCols = 8;
constexpr int kAcross = kTileCols / kThreadCols;
static_assert(kThreads * kThreadRows * kThreadCols == kTileRows * kTileCols);

__global__ void __launch_bounds__(kThreads) largest_kernel(uint32_t* largest, const Bf16* x, int64_t n) {
  constexpr int kAtOnce = 4, V = kWidth<Bf16>;
  const int64_t packs = n / V;
  uint32_t halves = 0;
  for (int64_t first = int64_t{blockIdx.x} * kThreads * kAtOnce + threadIdx.x; first < packs;
       first += int64_t{gridDim.x} * kThreads * kAtOnce) {
    Pack<Bf16, V> four[kAtOnce] = {};
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t i = first + u * kThreads;
      if (i < packs) four[u] = reinterpret_cast<const Pack<Bf16, V>*>(x)[i];
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) halves = larger_halves(halves, four[u]);
  }
  if (const int64_t i = packs * V + threadIdx.x; blockIdx.x == 0 && i < n)
    halves = larger_halves(halves, reinterpret_cast<const uint16_t*>(x)[i]);
  leave_largest(largest, halves);
}

template <__nv_fp8_interpretation_t kFormat>
__device__ uint32_t four_codes(uint2 values, float factor) {
  const float2 a = halves_of<Bf16>(values.x), b = halves_of<Bf16>(values.y);
  const uint32_t low = __nv_cvt_float2_to_fp8x2({a.x * factor, a.y * factor}, __NV_SATFINITE, kFormat);
  const uint32_t high = __nv_cvt_float2_to_fp8x2({b.x * factor, b.y * factor}, __NV_SATFINITE, kFormat);
  return high << 16 | low;
}

/// Rows of four bytes become columns.
__device__ void turn(uint32_t (&w)[4]) {
  const uint32_t a = __byte_perm(w[0], w[1], 0x5140), b = __byte_perm(w[2], w[3], 0x5140);
  const uint32_t c = __byte_perm(w[0], w[1], 0x7362), d = __byte_perm(w[2], w[3], 0x7362);
  w[0] = __byte_perm(a, b, 0x5410);
  w[1] = __byte_perm(a, b, 0x7632);
  w[2] = __byte_perm(c, d, 0x5410);
  w[3] = __byte_perm(c, d, 0x7632);
}

struct Codes {
  uint8_t *rows, *cols;  // null: not wanted
  float* scale;
  const float* largest;
  const Bf16* x;
  int64_t num_rows, num_cols;  // multiples of 16, so that a thread's part is there whole or not at all
  float limit;
};

template <__nv_fp8_interpretation_t kFormat>
__global__ void __launch_bounds__(kThreads) quantize_kernel(const __grid_constant__ Codes a) {
  __shared__ uint32_t tile[kTileCols][kTileRows / 4 + 1];
  const float range = float8_range(*a.largest), factor = __fdiv_rn(a.limit, range);
  if (blockIdx.x == 0 && threadIdx.x == 0) *a.scale = __fdiv_rn(range, a.limit);

  const int64_t tiles_across = (a.num_cols + kTileCols - 1) / kTileCols;
  const int64_t row0 = blockIdx.x / tiles_across * kTileRows, col0 = blockIdx.x % tiles_across * kTileCols;
  const int across = static_cast<int>(threadIdx.x) % kAcross, down = static_cast<int>(threadIdx.x) / kAcross;
  const int64_t row = row0 + down * kThreadRows, col = col0 + across * kThreadCols;
  const bool there = row < a.num_rows && col < a.num_cols;
  uint4 values[kThreadRows] = {};
  if (there)
#pragma unroll
    for (int i = 0; i < kThreadRows; ++i)
      values[i] = *reinterpret_cast<const uint4*>(a.x + (row + i) * a.num_cols + col);
  uint32_t left[kThreadRows], right[kThreadRows];  // four columns each
#pragma unroll
  for (int i = 0; i < kThreadRows; ++i) {
    left[i] = four_codes<kFormat>({values[i].x, values[i].y}, factor);
    right[i] = four_codes<kFormat>({values[i].z, values[i].w}, factor);
    if (there && a.rows != nullptr)
      *reinterpret_cast<uint2*>(a.rows + (row + i) * a.num_cols + col) = {left[i], right[i]};
  }
  if (a.cols == nullptr) return;
  turn(left);
  turn(right);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    tile[across * kThreadCols + i][down] = left[i];
    tile[across * kThreadCols + 4 + i][down] = right[i];
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row0 + lane * 4 >= a.num_rows) return;
  for (int c = static_cast<int>(threadIdx.x) / kWarp; c < kTileCols && col0 + c < a.num_cols; c += kThreads / kWarp)
    *reinterpret_cast<uint32_t*>(a.cols + (col0 + c) * a.num_rows + row0 + lane * 4) = tile[c][lane];
}

}  // namespace

void clear_largest(Ctx& ctx, const Tensor& largest) {
  check_cuda(cudaMemsetAsync(largest.data, 0, sizeof(float), stream_of(ctx)), "largest magnitude");
}

void find_largest(Ctx& ctx, const Tensor& largest, const Tensor& x) {
  CHECK(reinterpret_cast<uintptr_t>(x.data) % 16 == 0, "largest magnitude: x ", x.str(), " is not aligned");
  clear_largest(ctx, largest);
  const int64_t packs = x.numel() / kWidth<Bf16>;
  const int64_t blocks = std::clamp<int64_t>(ceil_div(packs, 4 * kThreads), 1, 8 * ctx.cuda->multiprocessors());
  largest_kernel<<<narrow<int>(blocks), kThreads, 0, stream_of(ctx)>>>(largest.as<uint32_t>(), x.as<Bf16>(), x.numel());
  check_launch("largest magnitude");
}

void quantize(Ctx& ctx, const Float8& out, const Tensor& largest, const Tensor& x) {
  const cudaStream_t stream = stream_of(ctx);
  const DType dtype = out.rows.defined() ? out.rows.dtype : out.cols.dtype;
  const Codes codes{.rows = out.rows.as<uint8_t>(),
                    .cols = out.cols.as<uint8_t>(),
                    .scale = out.scale.f32(),
                    .largest = largest.f32(),
                    .x = x.as<Bf16>(),
                    .num_rows = x.size(0),
                    .num_cols = x.size(1),
                    .limit = float8_format(dtype).limit};
  const int tiles = narrow<int>(ceil_div(x.size(0), kTileRows) * ceil_div(x.size(1), kTileCols));
  if (dtype == DType::e4m3)
    quantize_kernel<__NV_E4M3><<<tiles, kThreads, 0, stream>>>(codes);
  else
    quantize_kernel<__NV_E5M2><<<tiles, kThreads, 0, stream>>>(codes);
  check_launch("quantize");
}

}  // namespace trireme::cuda
