// The two 8-bit floats of Micikevicius et al., "FP8 Formats for Deep Learning" (2022): e4m3 for values, e5m2 for
// gradients, and how a tensor is brought into their range by one scale.
#pragma once

#include <bit>
#include <cstdint>

#include "tensor/dtype.h"

namespace trireme {

/// e4m3 has no infinities; e5m2 is the upper byte of an f16.
struct Float8Format {
  uint32_t fraction, bias;
  uint8_t largest;  // finite; the next codes are Inf (e5m2) and NaN
  float limit;      // its value

  constexpr float decode(uint8_t code) const {
    const float sign = code & 0x80 ? -1.0F : 1.0F;
    const uint32_t magnitude = code & 0x7F;
    if (magnitude > largest) {
      const bool infinite = fraction == 2 && magnitude == 0x7C;
      return sign * std::bit_cast<float>(infinite ? 0x7F800000U : 0x7FC00000U);
    }
    const uint32_t exponent = magnitude >> fraction, rest = magnitude & ((1U << fraction) - 1);
    if (exponent == 0) return sign * static_cast<float>(rest) * power_of_two(1 - bias - fraction);
    return sign * std::bit_cast<float>(((exponent + 127 - bias) << 23) | (rest << (23 - fraction)));
  }
  /// Round to nearest, ties to even; what is larger than the largest becomes the largest. NaN stays NaN.
  constexpr uint8_t encode(float v) const {
    const uint32_t bits = std::bit_cast<uint32_t>(v), magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return 0x7F;
    uint32_t code = 0;
    if (magnitude < (128 - bias) << 23) {  // below the normal floats: adding 2^23 leaves whole steps
      const float steps = std::bit_cast<float>(magnitude) * power_of_two(bias + fraction - 1) + 0x1p23F;
      code = std::bit_cast<uint32_t>(steps) - 0x4B000000;
    } else {
      const uint32_t shift = 23 - fraction, normal = magnitude - ((127 - bias) << 23);
      code = (normal + (1U << (shift - 1)) - 1 + ((normal >> shift) & 1)) >> shift;
    }
    return static_cast<uint8_t>((code < largest ? code : largest) | (bits >> 24 & 0x80));
  }

 private:
  static constexpr float power_of_two(uint32_t n) { return std::bit_cast<float>((127 + n) << 23); }
};

constexpr Float8Format float8_format(DType t) {
  return t == DType::e4m3 ? Float8Format{3, 7, 0x7E, 448} : Float8Format{2, 15, 0x7B, 57344};
}

/// The value of the largest code for a tensor whose largest magnitude is `largest`; NaN for NaN. A value is its code's
/// times this over the format's limit.
constexpr float float8_range(float largest) { return largest < 0x1p-100F ? 0x1p-100F : largest; }

}  // namespace trireme
