// A permutation of [0, size) that is a function, not a table: a six-round Feistel network over the next power of four,
// walked until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

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

  /// Where `first`, first + 1, ... go. Many walks are under way at once, in steps without a branch on their values:
  /// five times as fast as one call each.
  void fill(std::span<int64_t> out, int64_t first) const {
    for (; !out.empty(); out = out.subspan(std::min(kBatch, out.size())), first += static_cast<int64_t>(kBatch))
      fill_batch(out.first(std::min(kBatch, out.size())), static_cast<uint64_t>(first));
  }

 private:
  static constexpr size_t kBatch = 256;

  void fill_batch(std::span<int64_t> out, uint64_t first) const {
    std::array<uint16_t, kBatch> outside;  // places whose walk is not over
    size_t count = 0;
    const auto step = [&](size_t place, uint64_t value) {
      const uint64_t to = encrypt(value);
      out[place] = static_cast<int64_t>(to);
      outside[count] = static_cast<uint16_t>(place);
      count += to >= size_ ? 1 : 0;
    };
    for (size_t i = 0; i < out.size(); ++i) step(i, first + i);
    while (count > 0) {
      const size_t walking = std::exchange(count, 0);
      for (size_t i = 0; i < walking; ++i) step(outside[i], static_cast<uint64_t>(out[outside[i]]));
    }
  }

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
