// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A value is a pure function of (seed, site, counters), so no stream state has to be
// saved, and any layout of ranks or threads draws the same numbers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace trireme {

using Philox4 = std::array<uint32_t, 4>;

constexpr Philox4 philox4x32(Philox4 counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Mixes two 64-bit words into one (the finaliser of SplitMix64 over a combination).
constexpr uint64_t mix64(uint64_t a, uint64_t b) {
  uint64_t z = a + 0x9E3779B97F4A7C15 * (b + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

/// FNV-1a: a stable 64-bit name of a random site or a tensor.
constexpr uint64_t name_hash(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325;
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return h;
}

/// The random bits of one use: four words a counter.
struct RandomKey {
  uint64_t key = 0;

  static constexpr RandomKey of(uint64_t seed, uint64_t site, uint64_t step = 0) {
    return {mix64(mix64(seed, site), step)};
  }
  constexpr Philox4 draw(uint64_t hi, uint64_t lo) const {
    return philox4x32({static_cast<uint32_t>(lo), static_cast<uint32_t>(lo >> 32), static_cast<uint32_t>(hi),
                       static_cast<uint32_t>(hi >> 32)},
                      {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  }
};

/// Uniform in [0, 1) from the top 24 bits.
constexpr float uniform_float(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24F; }

/// Standard normal for element `index` of the stream `key` (Box-Muller, one value a counter).
inline float normal_float(const RandomKey& key, uint64_t index) {
  const Philox4 r = key.draw(0, index);
  const double u1 = (static_cast<double>(r[0]) + 1.0) * 0x1p-32;  // (0, 1]
  const double u2 = static_cast<double>(r[1]) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * u2));
}

}  // namespace trireme
