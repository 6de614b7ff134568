#include "ops/cuda/attention_stats.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

struct Transposition {
  float *lse, *stats;
  int64_t row_stride, head_stride;  // of lse
  int64_t heads, length, total;
};

template <bool kToLse>
__global__ void transpose_kernel(const __grid_constant__ Transposition t) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= t.total) return;
  const int64_t position = i % t.length, head = i / t.length % t.heads, sequence = i / t.length / t.heads;
  float& ours = t.lse[(sequence * t.length + position) * t.row_stride + head * t.head_stride];
  if (kToLse)
    ours = t.stats[i];
  else
    t.stats[i] = ours;
}

template <bool kToLse>
void transpose(const Ctx& ctx, const Tensor& lse, const Tensor& stats) {
  constexpr int kThreads = 256;
  const Transposition t{lse.f32(),     stats.f32(),   lse.stride(0), lse.stride(1),
                        stats.size(1), stats.size(2), stats.numel()};
  const auto blocks = narrow<unsigned>(ceil_div(t.total, kThreads));
  transpose_kernel<kToLse><<<blocks, kThreads, 0, stream_of(ctx)>>>(t);
  check_launch("attention");
}

}  // namespace

void lse_from_stats(Ctx& ctx, const Tensor& lse, const Tensor& stats) { transpose<true>(ctx, lse, stats); }
void stats_from_lse(Ctx& ctx, const Tensor& stats, const Tensor& lse) { transpose<false>(ctx, lse, stats); }

}  // namespace trireme::cuda
