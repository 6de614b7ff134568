// numpy's legacy random generator, as far as Megatron-LM's data order needs it: RandomState(seed).shuffle(array). The
// generator is MT19937 seeded by one 32-bit word, which is what the C++ standard prescribes for std::mt19937; the
// bounded draw (masked rejection) and the shuffle (Fisher-Yates from the end) are numpy's own and frozen by its policy
// (NEP 19).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <random>
#include <span>
#include <utility>

#include "base/numeric.h"

namespace trireme {

class NumpyRandomState {
 public:
  explicit NumpyRandomState(uint32_t seed) : generator_(seed) {}

  uint32_t next() { return static_cast<uint32_t>(generator_()); }

  /// Uniform in [0, max].
  uint32_t interval(uint32_t max) {
    if (max == 0) return 0;
    const uint32_t mask = ~uint32_t{0} >> std::countl_zero(max);
    for (;;)
      if (const uint32_t value = next() & mask; value <= max) return value;
  }

  template <class T>
  void shuffle(std::span<T> values) {
    CHECK(values.size() <= uint64_t{1} << 32, "a shuffle of ", values.size(), " values takes 64-bit draws");
    std::array<uint32_t, 256> partners;
    for (size_t left = values.size(); left > 1;) {
      const auto last = static_cast<uint32_t>(left - 1);
      const size_t count = draw_falling(partners, last);
      for (size_t k = 0; k < count; ++k) std::swap(values[last - k], values[partners[k]]);
      left -= count;
    }
  }

 private:
  /// As interval(max), interval(max - 1), ... would draw, without a branch on what is drawn: the swaps that follow then
  /// have all their cache misses at once. As many as fit, or as have bounds of one width; at least one.
  size_t draw_falling(std::span<uint32_t> out, uint32_t max) {
    const uint32_t mask = ~uint32_t{0} >> std::countl_zero(max);
    const size_t count = std::min<size_t>(out.size(), max - (mask >> 1));
    for (size_t k = 0; k < count;) {
      const uint32_t value = next() & mask;
      out[k] = value;
      k += value <= max - static_cast<uint32_t>(k) ? 1 : 0;
    }
    return count;
  }

  std::mt19937 generator_;
};

}  // namespace trireme
