// What a warp has at once of a run of elements: of each thread kAtOnce packs, which the warp's lanes share out evenly,
// so that each of its loads and stores is of neighbouring addresses.
#pragma once

#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {

constexpr int kAtOnce = 2;  // packs a thread
constexpr int kPack = 4;
constexpr int kWarpElements = kWarp * kAtOnce * kPack;

/// A thread's part: 16-bit elements as their bits.
template <class E>
using Share = E[kAtOnce][kPack];

/// Element j of a pack: f32, or the bits of 8 or 16.
template <class E>
__device__ inline E element(const Pack<E, kPack>& pack, int j) {
  constexpr int kSize = static_cast<int>(sizeof(E));
  const uint32_t word = pack.words[j * kSize / 4];
  if constexpr (std::is_same_v<E, float>)
    return __uint_as_float(word);
  else
    return static_cast<E>(word >> j * kSize % 4 * 8);
}

template <class E>
__device__ inline Pack<E, kPack> packed(const E (&elements)[kPack]) {
  constexpr int kSize = static_cast<int>(sizeof(E));
  Pack<E, kPack> pack{};
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    if constexpr (std::is_same_v<E, float>)
      pack.words[j] = __float_as_uint(elements[j]);
    else
      pack.words[j * kSize / 4] |= uint32_t{elements[j]} << j * kSize % 4 * 8;
  }
  return pack;
}

/// By one instruction: a plain assignment is taken apart.
template <class E>
__device__ inline void store_pack(E* to, const Pack<E, kPack>& pack) {
  const auto& w = pack.words;
  if constexpr (sizeof(pack) == 16)
    __stwb(reinterpret_cast<uint4*>(to), make_uint4(w[0], w[1], w[2], w[3]));
  else if constexpr (sizeof(pack) == 8)
    __stwb(reinterpret_cast<uint2*>(to), make_uint2(w[0], w[1]));
  else
    __stwb(reinterpret_cast<uint32_t*>(to), w[0]);
}

/// Where a thread's packs lie, and how many of a pack's elements are there: all of a plain run's.
template <bool kPlain>
struct Place {
  int64_t begin;  // of the warp's elements
  int64_t n;      // of the run
  bool packs;

  __device__ int64_t at(int u) const {
    return begin + u * kWarp * kPack + static_cast<int>(threadIdx.x) % kWarp * kPack;
  }
  __device__ bool whole(int u) const { return kPlain || (packs && at(u) + kPack <= n); }
};

template <class E, bool kPlain>
__device__ inline void load(const Place<kPlain>& place, const void* from, Share<E>& to) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const E* p = static_cast<const E*>(from) + place.at(u);
    if (place.whole(u)) {
      const auto four = *reinterpret_cast<const Pack<E, kPack>*>(p);
#pragma unroll
      for (int j = 0; j < kPack; ++j) to[u][j] = element(four, j);
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j) to[u][j] = place.at(u) + j < place.n ? p[j] : E();
    }
  }
}

template <class E, bool kPlain>
__device__ inline void store(const Place<kPlain>& place, void* to, const Share<E>& from) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    E* p = static_cast<E*>(to) + place.at(u);
    if (place.whole(u)) {
      store_pack(p, packed(from[u]));
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j)
        if (place.at(u) + j < place.n) p[j] = from[u][j];
    }
  }
}

/// The upper halves of words.
template <bool kPlain>
__device__ inline void store_upper(const Place<kPlain>& place, void* to, const Share<uint32_t>& from) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    auto* p = static_cast<uint16_t*>(to) + place.at(u);
    const auto& w = from[u];
    if (place.whole(u)) {
      store_pack(p, Pack<uint16_t, kPack>{{__byte_perm(w[0], w[1], 0x7632), __byte_perm(w[2], w[3], 0x7632)}});
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j)
        if (place.at(u) + j < place.n) p[j] = static_cast<uint16_t>(w[j] >> 16);
    }
  }
}

/// to = f(from), element by element.
template <class A, class B, class F>
__device__ inline void each(const Share<A>& from, Share<B>& to, F f) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
    for (int j = 0; j < kPack; ++j) to[u][j] = f(from[u][j], u, j);
}

}  // namespace trireme::cuda
