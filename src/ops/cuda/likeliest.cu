// Blocks share a row. A value and its column make one word that is the larger the likelier the column is, so that the
// order of comparing does not matter; the largest word of all is kept for what is no number.
#include "ops/cuda/likeliest.h"

#include "ops/cuda/early.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/walk.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
using Word = unsigned long long;
constexpr Word kNoNumber = ~Word{0};

struct Larger {
  __device__ Word operator()(Word a, Word b) const { return max(a, b); }
};

struct Choice {
  const float* logits;
  Word* words;  // (N, parts)
  int32_t* ids;
  int64_t row_stride, columns, share;  // share: columns of a part
  int parts;
};

/// Of equal values the smaller column's is larger; +0 and -0 are equal.
__device__ Word word_of(float value, int64_t column) {
  const uint32_t bits = __float_as_uint(value + 0.0F);
  const uint32_t ordered = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
  return Word{ordered} << 32 | ~static_cast<uint32_t>(column);
}

/// Block (part, row).
__global__ void __launch_bounds__(kThreads) part_kernel(const __grid_constant__ Choice p) {
  __shared__ Word slots[kThreads / kWarp];
  wait_for_previous();
  const int64_t begin = blockIdx.x * p.share, count = min(p.share, p.columns - begin);
  float largest = -INFINITY, off = 0;  // off: NaN where a value is NaN or Inf
  int64_t column = 0;
  walk<false, 4>(p.logits + blockIdx.y * p.row_stride + begin, count, threadIdx.x, kThreads,
                 [&](const auto& values, int64_t first) {
#pragma unroll
                   for (size_t i = 0; i < std::size(values); ++i) {
                     off += values[i] - values[i];
                     if (!(values[i] > largest)) continue;
                     largest = values[i];
                     column = begin + first + static_cast<int64_t>(i);
                   }
                 });
  const Word own = off != 0 ? kNoNumber : largest == -INFINITY ? 0 : word_of(largest, column);
  const Word all = reduce_group(own, kThreads, slots, Larger());
  if (threadIdx.x == 0) p.words[blockIdx.y * p.parts + blockIdx.x] = all;
}

/// A warp a row.
__global__ void __launch_bounds__(kWarp) choose_kernel(const __grid_constant__ Choice p) {
  wait_for_previous();
  Word largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < p.parts; i += kWarp)
    largest = max(largest, p.words[blockIdx.x * p.parts + i]);
  largest = reduce_lanes(largest, kWarp, Larger());
  if (threadIdx.x == 0)
    p.ids[blockIdx.x] = largest == kNoNumber ? -1 : static_cast<int32_t>(~static_cast<uint32_t>(largest));
}

}  // namespace

void likeliest(Ctx& ctx, const Tensor& ids, const Tensor& logits, const Tensor& scratch) {
  const int64_t n = logits.size(0), v = logits.size(1), parts = scratch.size(1);
  if (n == 0) return;
  const Choice p{.logits = logits.f32(),
                 .words = scratch.as<Word>(),
                 .ids = ids.i32(),
                 .row_stride = logits.stride(0),
                 .columns = v,
                 .share = ceil_div(v, parts),
                 .parts = narrow<int>(parts)};
  const auto rows = narrow<unsigned>(n);
  launch_early(ctx, part_kernel, dim3(narrow<unsigned>(parts), rows), kThreads, p);
  launch_early(ctx, choose_kernel, dim3(rows), kWarp, p);
}

}  // namespace trireme::cuda
