// Rows that come into shared memory while others are worked on (cp.async). A thread may read what it has copied itself,
// without a barrier, once it has waited. GPUs before Ampere, which have no such copies, copy at once.
#pragma once

#include <cstdint>

#include "ops/cuda/barrier.cuh"

namespace trireme::cuda {

/// Starts to bring 16 bytes into shared memory.
__device__ inline void copy_ahead(uint32_t to, const char* from) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
#else
  const uint4 v = *reinterpret_cast<const uint4*>(from);
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#endif
}

/// The 16 bytes there.
__device__ inline uint4 read_shared(uint32_t from) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(from)
               : "memory");
  return v;
}

/// All copies since the last call belong to one row.
__device__ inline void end_of_row() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits for this thread's copies of all rows but the last kRows ones.
template <int kRows>
__device__ inline void wait_for_all_but() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kRows) : "memory");
#endif
}
/// The same for a number from 0 to 2 that is known at run time only.
__device__ inline void wait_for_all_but(int rows) {
  if (rows == 0)
    wait_for_all_but<0>();
  else if (rows == 1)
    wait_for_all_but<1>();
  else
    wait_for_all_but<2>();
}

/// A run of bytes that a copy engine brings (compute capability 9.0; PTX ISA, "cp.async.bulk"), one for each block: all
/// 16-byte aligned. One thread starts it; the others may wait once the block has been synchronised.
__device__ inline void start_run(uint64_t* arrival, void* to, const char* from, int bytes) {
#if __CUDA_ARCH__ >= 900
  const uint32_t barrier = shared_address(arrival);
  make_barrier(barrier, 1);
  publish_barriers();
  arrive_and_expect(barrier, bytes);
  if (bytes == 0) return;
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
#endif
}

__device__ inline void wait_for_run(uint64_t* arrival) {
#if __CUDA_ARCH__ >= 900
  wait_for_phase(shared_address(arrival), 0);
#endif
}

}  // namespace trireme::cuda
