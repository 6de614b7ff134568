// Sums over warps, groups and blocks of threads, always in the same order.
#pragma once

#include <cstdint>

namespace trireme::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFF;

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Maximum {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// The total over `lanes` (a power of two up to 32) neighbouring lanes, in each of them.
template <class T, class Op = Plus>
__device__ inline T reduce_lanes(T v, int lanes = kWarp, Op op = {}) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) v = op(v, __shfl_xor_sync(kAllLanes, v, offset));
  return v;
}

/// The total over a group of `threads` neighbours of the block, in each of them: a power of two up to 32, or whole
/// warps. All threads of the block must call it; `slots` holds one value a warp and may be used again only after a
/// __syncthreads or another call with other slots.
template <class T, class Op = Plus>
__device__ inline T reduce_group(T v, int threads, T* slots, Op op = {}) {
  v = reduce_lanes(v, threads < kWarp ? threads : kWarp, op);
  if (threads <= kWarp) return v;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0) slots[warp] = v;
  __syncthreads();
  const int warps = threads / kWarp, first = warp / warps * warps;
  v = slots[first];
#pragma unroll 8
  for (int i = 1; i < warps; ++i) v = op(v, slots[first + i]);
  return v;
}

}  // namespace trireme::cuda
