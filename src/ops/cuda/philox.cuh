// The numbers of base/random.h for kernels that are bound by instructions: to a product of two 64-bit numbers whose
// upper halves are known to be zero, as the plain form reads to the compiler, it still adds those halves.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace trireme::cuda {

__device__ inline uint2 wide_product(uint32_t a, uint32_t b) {
  uint2 halves;
  asm("{ .reg .b64 p; mul.wide.u32 p, %2, %3; mov.b64 {%0, %1}, p; }"
      : "=r"(halves.x), "=r"(halves.y)
      : "r"(a), "r"(b));
  return halves;
}

/// key.draw(0, lo).
__device__ inline Philox4 draw_block(const RandomKey& key, uint64_t lo) {
  uint32_t k0 = static_cast<uint32_t>(key.key), k1 = static_cast<uint32_t>(key.key >> 32);
  uint4 c = {static_cast<uint32_t>(lo), static_cast<uint32_t>(lo >> 32), 0, 0};
#pragma unroll
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
    const uint2 p0 = wide_product(0xD2511F53, c.x);
    const uint2 p1 = round == 0 ? uint2{0, 0} : wide_product(0xCD9E8D57, c.z);
    c = {p1.y ^ c.y ^ k0, p1.x, p0.y ^ c.w ^ k1, p0.x};
  }
  return {c.x, c.y, c.z, c.w};
}

}  // namespace trireme::cuda
