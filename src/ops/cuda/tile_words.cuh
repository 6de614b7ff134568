// The sums of a tile (tile_product.cuh) as they are stored, before anything is made of them: two a register. What that
// leaves free lets a warp, alone with its share of a processor, work on many values at once.
#pragma once

#include "ops/cuda/tile_product.cuh"

namespace trireme::cuda {

constexpr int kTileGroups = hopper::kCols / 8;
using TileWords = hopper::Words<kTileGroups>[2];  // as TileSums

struct NothingAdded {
  __device__ float2 operator()(int) const { return {-0.0F, -0.0F}; }  // changes no sum, not even its sign
};

/// Every sum, with what added(group of 8 columns) has for this thread's two columns, rounded; all of them before what
/// follows.
template <class Added = NothingAdded>
__device__ inline void round_sums(TileWords& words, const TileSums& d, Added added = {}) {
#pragma unroll
  for (int j = 0; j < kTileGroups; ++j) {
    const float2 more = added(j);
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float* two = &d[half][4 * j + 2 * r];
        words[half][j][r] = word_of<Bf16>(two[0] + more.x, two[1] + more.y);
      }
  }
#pragma unroll
  for (auto& half : words)
#pragma unroll
    for (auto& group : half) asm volatile("" : "+r"(group[0]), "+r"(group[1])::"memory");
}

}  // namespace trireme::cuda
