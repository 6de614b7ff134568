// Thread-block clusters (compute capability 9.0; PTX ISA, "barrier.cluster", "mapa"): blocks that run side by side,
// wait for each other and reach each other's shared memory. A kernel started without a cluster is one of a single
// block.
#pragma once

#include <cstdint>

namespace trireme::cuda {

/// Returns at once. Its counterpart is wait_for_cluster(): what all threads of the cluster did before they called this
/// has then happened.
__device__ inline void arrive_in_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

__device__ inline void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// Stores two floats where block `block` of the cluster, which must have begun and not yet ended, has its own `to`.
__device__ inline void store_in_block(float2* to, int block, float2 value) {
#if __CUDA_ARCH__ >= 900
  const auto own = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  uint32_t there = 0;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(own), "r"(block));
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(there), "f"(value.x), "f"(value.y) : "memory");
#else
  if (block == 0) *to = value;
#endif
}

}  // namespace trireme::cuda
