// numpy's legacy random generator, as far as Megatron-LM's data order needs it: RandomState(seed).shuffle(array). The
// generator is MT19937 seeded by one 32-bit word, which is what the C++ standard prescribes for std::mt19937; the
// bounded draw (masked rejection) and the shuffle (Fisher-Yates from the end) are numpy's own and frozen by its policy
// (NEP 19).
#pragma once

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
    for (size_t i = values.size(); i-- > 1;) std::swap(values[i], values[interval(static_cast<uint32_t>(i))]);
  }

 private:
  std::mt19937 generator_;
};

}  // namespace trireme
