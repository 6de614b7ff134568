// How a kernel leaves the largest magnitude of the bf16 values that it writes. As bits, magnitudes are in the order of
// their values, and NaN is above all; so a maximum of integers is exact, in whatever order.
#pragma once

#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {

/// Of both halves of words, each apart.
__device__ inline uint32_t larger_halves(uint32_t largest, uint32_t word) {
  return __vmaxu2(largest, word & 0x7FFF7FFF);
}

template <int V>
__device__ inline uint32_t larger_halves(uint32_t largest, const Pack<Bf16, V>& pack) {
#pragma unroll
  for (const uint32_t word : pack.words) largest = larger_halves(largest, word);
  return largest;
}

/// Raises *to, an f32 as bits, to what the block's threads have seen. All of them must call it, once; they are whole
/// warps.
__device__ inline void leave_largest(uint32_t* to, uint32_t halves) {
  __shared__ uint32_t of_warps[kWarp];
  const auto larger = [](uint32_t a, uint32_t b) { return max(a, b); };
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, warps = blockDim.x * blockDim.y / kWarp;
  const uint32_t of_warp = reduce_lanes(max(halves & 0xFFFF0000, halves << 16), kWarp, larger);
  if (thread % kWarp == 0) of_warps[thread / kWarp] = of_warp;
  __syncthreads();
  if (thread != 0) return;
  uint32_t all = of_warp;
  for (unsigned i = 1; i < warps; ++i) all = max(all, of_warps[i]);
  atomicMax(to, all);
}

}  // namespace trireme::cuda
