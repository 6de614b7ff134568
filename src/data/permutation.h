// A permutation of [0, size) that is a function, not a table: a six-round Feistel network over the next power of four,
// walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
#pragma once

#include <bit>
#include <cstdint>

#include "base/random.h"

namespace trireme {

class KeyedPermutation {
 public:
  KeyedPermutation() = default;
  KeyedPermutation(int64_t size, uint64_t key)
      : size_(static_cast<uint64_t>(size)),
        key_(key),
        half_bits_((std::bit_width(size_ > 1 ? size_ - 1 : 1) + 1) / 2) {}

  /// Where `index` goes; fewer than four walks on average.
  int64_t operator()(int64_t index) const {
    auto value = static_cast<uint64_t>(index);
    do value = encrypt(value);
    while (value >= size_);
    return static_cast<int64_t>(value);
  }

 private:
  uint64_t encrypt(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t next = left ^ (mix64(key_ + round, right) & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  uint64_t size_ = 1, key_ = 0;
  int half_bits_ = 1;
};

}  // namespace trireme
