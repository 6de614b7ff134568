// Rows that come into shared memory while others are worked on (cp.async). A thread may read what it has copied itself,
// without a barrier, once it has waited. GPUs before Ampere, which have no such copies, copy at once.
#pragma once

#include <cstdint>

namespace trireme::cuda {

/// Starts to bring 16 bytes into shared memory.
__device__ inline void copy_ahead(uint4* to, const char* from) {
#if __CUDA_ARCH__ >= 800
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(from) : "memory");
#else
  *to = *reinterpret_cast<const uint4*>(from);
#endif
}

/// All copies since the last call belong to one row.
__device__ inline void end_of_row() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits for this thread's copies of all rows but the last `rows` ones.
__device__ inline void wait_for_all_but([[maybe_unused]] int rows) {
#if __CUDA_ARCH__ >= 800
  if (rows == 0)
    asm volatile("cp.async.wait_group 0;" ::: "memory");
  else if (rows == 1)
    asm volatile("cp.async.wait_group 1;" ::: "memory");
  else
    asm volatile("cp.async.wait_group 2;" ::: "memory");
#endif
}

}  // namespace trireme::cuda
