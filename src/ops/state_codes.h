// How the optimizer keeps numbers in fewer bits than f32. Integer arithmetic on the bits of floats and single rounded
// operations only, so that every backend makes the same bits, and a checkpoint can hold what they stand for.
#pragma once

#include <bit>
#include <cstdint>

#include "base/random.h"
#include "tensor/tensor.h"

namespace trireme {

/// Elements of 8-bit state that share a scale: so many in a row, from a slice's first element on.
constexpr int64_t kCodeBlock = 256;

constexpr int64_t code_blocks(int64_t elements) { return (elements + kCodeBlock - 1) / kCodeBlock; }

/// Where the elements of a slice lie in their global parameter, as row-major indices: one after the other from `first`,
/// or, of a parameter cut by columns, in rows of `width` that lie `stride` apart, from column `column` of one.
struct ElementPositions {
  int64_t first = 0, column = 0, width = 0, stride = 0;

  constexpr int64_t of(int64_t i) const {
    if (width == 0) return first + i;
    const int64_t c = column + i;
    return first + c / width * stride + c % width;
  }
};

/// The chance in rounding an element: with key RandomKey::of(seed, name_hash of the parameter, update) the element at
/// position i takes word i % 4 of the Philox block draw(0, i / 4). Of its 32 bits each number has 16 that are uniform
/// and, in pairs, independent of another's: no mean or correlation of two shows that the third is their sum without
/// carry.
struct RoundingBits {
  uint32_t word;

  static constexpr RoundingBits of(const Philox4& block, int64_t position) {
    const bool odd = position % 2 != 0;
    return {position % 4 < 2 ? (odd ? block[1] : block[0]) : (odd ? block[3] : block[2])};
  }
  constexpr uint32_t param() const { return word >> 16; }
  constexpr uint32_t m() const { return word & 0xFFFF; }
  constexpr uint32_t v() const { return param() ^ m(); }
};

// f32 as the nearest bf16 and 16 bits more. Ties round away from zero: with ties to even, an even bf16 would stand for
// one f32 more than 16 bits can tell apart.

constexpr bool is_nan_bits(uint32_t bits) { return (bits & 0x7FFFFFFF) > 0x7F800000; }

constexpr bf16_t high_half(float master) {
  const uint32_t bits = std::bit_cast<uint32_t>(master);
  return {static_cast<uint16_t>(is_nan_bits(bits) ? (bits >> 16) | 0x40 : (bits + 0x8000) >> 16)};
}
constexpr uint16_t low_half(float master) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(master)); }
constexpr float join_halves(bf16_t high, uint16_t low) {
  const uint32_t bits = uint32_t{high.bits} << 16 | low;
  return std::bit_cast<float>(low >= 0x8000 ? bits - 0x10000 : bits);
}

/// One of the two bf16 beside v, the nearer with the greater chance, so that the mean is v. `random`: 16 bits.
constexpr bf16_t stochastic_bf16(float v, uint32_t random) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  return {static_cast<uint16_t>(is_nan_bits(bits) ? (bits >> 16) | 0x40 : (bits + random) >> 16)};
}

// 8 bits: a share of the block's largest value, as a float of few bits whose largest value is 1.

/// Numbers of [0, 1] in `top` steps, 2^(23 - shift) to an octave, that end at 1; and 0.
struct StepCode {
  uint32_t shift, top;

  constexpr uint32_t least_bits() const { return 0x3F800000 - ((top - 1) << shift); }
  constexpr float decode(uint32_t code) const {
    return code == 0 ? 0.0F : std::bit_cast<float>(0x3F800000 - ((top - code) << shift));
  }
  /// One of the two codes beside x. `random`: `shift` bits, so that the mean of many is x; or half(), for the nearest.
  /// Of chance() the mean is the nearest to x of 2^16 between the codes.
  constexpr uint32_t encode(float x, uint32_t random) const {
    const uint32_t bits = std::bit_cast<uint32_t>(x), least = least_bits();
    if (bits < least)
      return x * static_cast<float>(uint32_t{1} << shift) > static_cast<float>(random) * std::bit_cast<float>(least);
    const uint32_t code = ((bits - least + random) >> shift) + 1;
    return code < top ? code : top;
  }
  constexpr uint32_t half() const { return uint32_t{1} << (shift - 1); }
  /// From 16 bits.
  constexpr uint32_t chance(uint32_t random) const { return (2 * random + 1) << (shift - 17); }
};

// 16 octaves, by eighths and by sixteenths. Functions: a GPU has no constants with members.
constexpr StepCode moment_steps() { return {20, 127}; }
constexpr StepCode root_steps() { return {19, 255}; }

/// A block's scale from its largest magnitude. What is below the least is 0: all codes then stand for normal floats.
constexpr float kLeastMoment = 0x1p-100F, kLeastRoot = 0x1p-46F;
constexpr float block_scale(float largest, float least) { return largest >= least ? largest : 0.0F; }

/// m as a sign and a share of `scale`.
constexpr uint8_t encode_moment(float m, float scale, uint32_t random) {
  if (!(scale > 0)) return 0;
  const float magnitude = std::bit_cast<float>(std::bit_cast<uint32_t>(m) & 0x7FFFFFFF);
  const uint32_t code = moment_steps().encode(magnitude / scale, random);
  return static_cast<uint8_t>(m < 0 && code != 0 ? code | 0x80 : code);
}
constexpr float decode_moment(uint8_t code, float scale) {
  const float share = moment_steps().decode(code & 0x7F);
  return (code & 0x80 ? -share : share) * scale;
}

/// v by its root, which spans half the octaves. Only 0 becomes 0: updates are divided by it.
constexpr uint8_t encode_root(float root, float scale, uint32_t random) {
  if (!(scale > 0)) return 0;
  const uint32_t code = root_steps().encode(root / scale, random);
  return static_cast<uint8_t>(code == 0 && root > 0 ? 1 : code);
}
constexpr float decode_root(uint8_t code, float scale) { return root_steps().decode(code) * scale; }

/// What the stored elements of a state are, for those who need their values as f32.
enum class StateCode : uint8_t {
  plain,    // themselves
  joined,   // u16: low halves, whose high halves are the bf16 companion
  moments,  // u8 of encode_moment; the companion holds the blocks' scales, f32
  roots,    // u8 of encode_root of the root, likewise; they stand for its square
};

/// `values` (n), its companion, and for 8 bits the place of its first element in the run whose blocks the companion's
/// scales are of. Tensors on any device; the companion is undefined where plain.
struct CodedState {
  StateCode code = StateCode::plain;
  Tensor values, companion;
  int64_t in_run = 0;
};

/// out (n) = elements [begin, begin + n) of a coded state, on the CPU.
void decode_state(float* out, const CodedState& state, int64_t begin, int64_t n);
/// Sets a whole run's values and companion to the nearest of `from` (n), on the CPU. What decode_state gave is kept
/// bit for bit.
void encode_state(const CodedState& state, const float* from);

}  // namespace trireme
