#include "ops/cuda/attention_stats.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

constexpr int kAtOnce = 4;  // heads in flight

struct Transposition {
  float *lse, *stats;
  int64_t row_stride, head_stride;  // of lse
  int heads, length, rows;
};

/// A thread a row of lse.
template <bool kToLse>
__global__ void transpose_kernel(const __grid_constant__ Transposition t) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= t.rows) return;
  float* ours = t.lse + row * t.row_stride;
  float* theirs = t.stats + int64_t{row / t.length} * t.heads * t.length + row % t.length;
  for (int first = 0; first < t.heads; first += kAtOnce) {
    float values[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (const int h = first + u; h < t.heads) values[u] = kToLse ? theirs[h * t.length] : ours[h * t.head_stride];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (const int h = first + u; h < t.heads) (kToLse ? ours[h * t.head_stride] : theirs[h * t.length]) = values[u];
  }
}

template <bool kToLse>
void transpose(const Ctx& ctx, const Tensor& lse, const Tensor& stats) {
  constexpr int kThreads = 128;
  const Transposition t{.lse = lse.f32(),
                        .stats = stats.f32(),
                        .row_stride = lse.stride(0),
                        .head_stride = lse.stride(1),
                        .heads = narrow<int>(stats.size(1)),
                        .length = narrow<int>(stats.size(2)),
                        .rows = narrow<int>(stats.size(0) * stats.size(2))};
  const auto blocks = narrow<unsigned>(ceil_div(t.rows, kThreads));
  transpose_kernel<kToLse><<<blocks, kThreads, 0, stream_of(ctx)>>>(t);
  check_launch("attention");
}

}  // namespace

void lse_from_stats(Ctx& ctx, const Tensor& lse, const Tensor& stats) { transpose<true>(ctx, lse, stats); }
void stats_from_lse(Ctx& ctx, const Tensor& stats, const Tensor& lse) { transpose<false>(ctx, lse, stats); }

}  // namespace trireme::cuda
