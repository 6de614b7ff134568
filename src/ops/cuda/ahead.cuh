// Rows that come into shared memory while others are worked on (cp.async). A thread may read what it has copied itself,
// without a barrier, once it has waited. GPUs before Ampere, which have no such copies, copy at once.
#pragma once

#include <cstdint>

namespace trireme::cuda {

/// A place in shared memory as its instructions name it. Loops that count on with these are spared the arithmetic of
/// pointers.
__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

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

/// A run of bytes that a copy engine brings (compute capability 9.0; PTX ISA, "cp.async.bulk"), one for each block: all
/// 16-byte aligned. One thread starts it; the others may wait once the block has been synchronised.
__device__ inline void start_run(uint64_t* arrival, void* to, const char* from, int bytes) {
#if __CUDA_ARCH__ >= 900
  const uint32_t barrier = shared_address(arrival);
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
  if (bytes == 0) return;
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
#endif
}

__device__ inline void wait_for_run(uint64_t* arrival) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred there;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 there, [%0], 0;\n"
      "@!there bra again;\n}" ::"r"(shared_address(arrival))
      : "memory");
#endif
}

}  // namespace trireme::cuda
