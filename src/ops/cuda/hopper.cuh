// What compute capability 9.0a (Hopper) has for matrix products, in the words of the PTX ISA: copies of boxes of a
// tensor that run by themselves and are counted by barriers ("cp.async.bulk.tensor", barrier.cuh), products of a warp
// group of 128 threads whose operands lie in shared memory ("wgmma"). Addresses are those of shared memory, in 32 bits.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "ops/cuda/barrier.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda::hopper {

/// Bytes of a row of a box; its 16 bytes lie at their place xor the row's last three bits.
constexpr int kSwizzled = 128;
constexpr int kEight = 8 * kSwizzled;

__device__ inline uint32_t rank_in_cluster() {
  uint32_t rank = 0;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/// The box of `map` at column x, row y, to shared memory; `barrier` counts its bytes.
__device__ inline void fetch(uint32_t to, const CUtensorMap& map, int x, int y, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
      "[%4];" ::"r"(to),
      "l"(&map), "r"(x), "r"(y), "r"(barrier)
      : "memory");
}
/// The same to both blocks of the cluster, each of whose barriers counts.
__device__ inline void fetch_for_both(uint32_t to, const CUtensorMap& map, int x, int y, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%2, %3}], [%4], %5;" ::"r"(to),
      "l"(&map), "r"(x), "r"(y), "r"(barrier), "h"(static_cast<uint16_t>(3))
      : "memory");
}
/// Shared memory to the box of `map`, as a group of its own. What threads wrote there must be fenced before.
__device__ inline void put(const CUtensorMap& map, int x, int y, uint32_t from) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];\n"
      "cp.async.bulk.commit_group;" ::"l"(&map),
      "r"(x), "r"(y), "r"(from)
      : "memory");
}
__device__ inline void fence_for_put() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/// Until all but the last kLeft that this thread put have been read from shared memory; until all are done altogether.
template <int kLeft = 0>
__device__ inline void wait_for_reads() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kLeft) : "memory");
}
__device__ inline void wait_for_puts() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/// 128 threads of a warp group wait for each other.
__device__ inline void wait_in_group(int group) { asm volatile("bar.sync %0, 128;" ::"r"(group) : "memory"); }

template <int kRegisters>
__device__ inline void give_up_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Where an operand begins. In a cluster an address also says whose shared memory it is, which is not wanted here.
__device__ inline uint64_t begins_at(uint32_t address) { return (address & 0x3FFFF) >> 4; }
/// An operand whose rows of 128 swizzled bytes run along the sum; 16 terms further is 32 bytes further.
__device__ inline uint64_t along_sum(uint32_t address) {
  return begins_at(address) | uint64_t{1} << 16 | uint64_t{kEight >> 4} << 32 | uint64_t{1} << 62;
}
/// An operand whose rows run across it: boxes of 64 columns by 64 terms; 16 terms further is two times kEight further.
__device__ inline uint64_t across_sum(uint32_t address) {
  return begins_at(address) | uint64_t{8 * kEight >> 4} << 16 | uint64_t{kEight >> 4} << 32 | uint64_t{1} << 62;
}

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until all but the last kLeft commits are done.
template <int kLeft>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

/// (64, 192) of a warp group: value 4 j + 2 r + i of a thread is of row 16 warp + lane / 4 + 8 r, column
/// 8 j + lane % 4 * 2 + i.
constexpr int kCols = 192;
using Sums = float[kCols / 2];

/// Keeps what is done with them on its side of this line.
__device__ inline void pin(Sums& d) {
#pragma unroll
  for (int i = 0; i < kCols / 2; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

/// Whatever they hold is not wanted any more: from their last use to here their registers are free.
__device__ inline void forget(Sums& d) {
#pragma unroll
  for (int i = 0; i < kCols / 2; ++i) asm volatile("" : "=f"(d[i]));
}

#define TRIREME_FOUR(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define TRIREME_SIXTEEN(i) TRIREME_FOUR(i), TRIREME_FOUR((i) + 4), TRIREME_FOUR((i) + 8), TRIREME_FOUR((i) + 12)
/// d = a (64, 16 terms) . b (16 terms, 192), bf16, added to what is there with kAdds. a lies along the sum, b across it
/// with kAcross.
template <bool kAcross, bool kAdds>
__device__ inline void multiply(Sums& d, uint64_t a, uint64_t b) {
  asm volatile(
      "{\n.reg .pred adds;\nsetp.ne.b32 adds, %98, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, "
      "%96, %97, adds, 1, 1, 0, %99;\n}"
      : TRIREME_SIXTEEN(0), TRIREME_SIXTEEN(16), TRIREME_SIXTEEN(32), TRIREME_SIXTEEN(48), TRIREME_SIXTEEN(64),
        TRIREME_SIXTEEN(80)
      : "l"(a), "l"(b), "n"(kAdds ? 1 : 0), "n"(kAcross ? 1 : 0));
}
#undef TRIREME_FOUR
#undef TRIREME_SIXTEEN

/// A warp group's share of 64 rows x 8 kGroups columns of 16 bits, as Sums has them: words of 2 columns, [8 columns][8
/// rows].
template <int kGroups>
using Words = uint32_t[kGroups][2];

/// Where this thread's row of the 8 x 8 matrices of columns 8 j to 8 j + 15 lies in a box of 64 rows and kBoxCols
/// columns, swizzled as copies of such boxes are.
template <int kBoxCols>
__device__ inline uint32_t place_in_box(uint32_t box, int j, int thread) {
  static_assert(kBoxCols == 64 || kBoxCols == 32);
  const int matrix = thread % 32 / 8, row = thread / 32 * 16 + (matrix & 1) * 8 + thread % 8;
  const int swizzle = kBoxCols == 64 ? row & 7 : row / 2 & 3;
  return box + row * (2 * kBoxCols) + (((j + matrix / 2) ^ swizzle) << 4);
}
/// To and from the columns of a box that begin with 8 * first.
template <int kBoxCols, int kGroups>
__device__ inline void write_box(uint32_t box, int first, const Words<kGroups>& w, int thread) {
#pragma unroll
  for (int j = 0; j < kGroups; j += 2)
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                     place_in_box<kBoxCols>(box, first + j, thread)),
                 "r"(w[j][0]), "r"(w[j][1]), "r"(w[j + 1][0]), "r"(w[j + 1][1])
                 : "memory");
}
template <int kBoxCols, int kGroups>
__device__ inline void read_box(Words<kGroups>& w, uint32_t box, int first, int thread) {
#pragma unroll
  for (int j = 0; j < kGroups; j += 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared::cta.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w[j][0]), "=r"(w[j][1]), "=r"(w[j + 1][0]), "=r"(w[j + 1][1])
                 : "r"(place_in_box<kBoxCols>(box, first + j, thread))
                 : "memory");
}

}  // namespace trireme::cuda::hopper
