// Content hashes (xxHash's XXH3, behind hash.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace trireme {

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);
/// CRC-32C (Castagnoli), as TensorBoard's records need it.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);
std::string hex(uint64_t value);

/// A 128-bit sum modulo 2^128: order of adding does not matter, so shards of a state add up.
struct Hash128 {
  uint64_t lo = 0, hi = 0;
  void add(uint64_t l, uint64_t h) {
    lo += l;
    hi += h + (lo < l ? 1 : 0);
  }
  void add(const Hash128& o) { add(o.lo, o.hi); }
  std::string str() const { return hex(hi) + hex(lo); }
  bool operator==(const Hash128&) const = default;
};

}  // namespace trireme
