// How a row of a norm is laid over threads: a group of threads holds the whole row in registers, kPacks packs each, so
// that it is read from memory once whatever is computed of it.
#pragma once

#include <algorithm>
#include <bit>

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {

struct NormShape {
  int group = 0;   // threads a row: a power of two up to 32, or whole warps
  int packs = 0;   // packs a thread
  int groups = 0;  // rows a block handles at a time
  int threads() const { return group * groups; }
};

constexpr int kMaxNormPacks = 4;
constexpr int kMaxGroup = 512;  // leaves a thread 128 registers

/// The least group that holds a row of `row_packs` with `packs` a thread, or with more where it would need more than
/// kMaxGroup threads; as many of them as make a block of `threads`. packs == 0: no group holds it.
inline NormShape norm_shape(int64_t row_packs, int packs, int threads) {
  NormShape s;
  if (row_packs <= kWarp) {
    s.group = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(row_packs)));
    s.packs = 1;
  } else {
    while (packs < kMaxNormPacks && int64_t{kMaxGroup} * packs < row_packs) ++packs;
    if (int64_t{kMaxGroup} * packs < row_packs) return s;
    s.group = static_cast<int>(round_up(ceil_div(row_packs, packs), kWarp));
    s.packs = static_cast<int>(ceil_div(row_packs, s.group));
  }
  s.groups = std::max(1, threads / s.group);
  return s;
}

/// Whether `r` is of `dtype` and moves in whole packs.
inline bool same_packs(const Rows& r, DType dtype) {
  return r.dtype == dtype && packs_fit(r, dtype == DType::f32 ? 4 : 8);
}

/// f(std::integral_constant<int, packs>()) for packs in 1..4.
template <class F>
void with_packs(int packs, F f) {
  switch (packs) {
    case 1: f(std::integral_constant<int, 1>()); break;
    case 2: f(std::integral_constant<int, 2>()); break;
    case 3: f(std::integral_constant<int, 3>()); break;
    default: f(std::integral_constant<int, 4>()); break;
  }
}

}  // namespace trireme::cuda
