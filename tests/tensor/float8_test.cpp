// Every code and every rounding of the 8-bit floats, against their definition.
#include "tensor/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace trireme {
namespace {

class Float8 : public ::testing::TestWithParam<DType> {
 protected:
  Float8Format format() const { return float8_format(GetParam()); }
  /// By the definition: exponent and fraction fields with this bias.
  double reference(int code) const {
    const int fraction_bits = GetParam() == DType::e4m3 ? 3 : 2, bias = GetParam() == DType::e4m3 ? 7 : 15;
    const int exponent = (code & 0x7F) >> fraction_bits, fraction = code & ((1 << fraction_bits) - 1);
    const double share = fraction / static_cast<double>(1 << fraction_bits);
    const double magnitude = exponent == 0 ? std::ldexp(share, 1 - bias) : std::ldexp(1 + share, exponent - bias);
    return code & 0x80 ? -magnitude : magnitude;
  }
};

TEST_P(Float8, CodesStandForWhatTheDefinitionSays) {
  for (int code = 0; code < 256; ++code) {
    const float value = format().decode(static_cast<uint8_t>(code));
    if ((code & 0x7F) <= format().largest) {
      EXPECT_EQ(value, reference(code)) << code;
      EXPECT_EQ(std::signbit(value), code >= 0x80) << code;
    } else {
      const bool infinite = GetParam() == DType::e5m2 && (code & 0x7F) == 0x7C;
      EXPECT_TRUE(infinite ? std::isinf(value) : std::isnan(value)) << code;
    }
  }
  EXPECT_EQ(reference(format().largest), format().limit);
}

TEST_P(Float8, RoundsToTheNearestAndTiesToEven) {
  for (int code = 0; code < format().largest; ++code) {
    const auto low = static_cast<float>(reference(code)), high = static_cast<float>(reference(code + 1));
    const float middle = (low + high) / 2;  // exact: it has one bit more
    const float below = std::nextafter(middle, 0.0F), above = std::nextafter(middle, high);
    const uint8_t even = static_cast<uint8_t>(code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(format().encode(low), code);
    EXPECT_EQ(format().encode(middle), even) << code;
    EXPECT_EQ(format().encode(below), code);
    EXPECT_EQ(format().encode(above), code + 1);
    EXPECT_EQ(format().encode(-middle), even | 0x80) << code;
  }
}

TEST_P(Float8, TheEndsOfFloatBecomeTheLargestAndNothing) {
  constexpr float kMax = std::numeric_limits<float>::max();
  for (const float v : {format().limit, format().limit * 1.01F, kMax, INFINITY}) {
    EXPECT_EQ(format().encode(v), format().largest) << v;
    EXPECT_EQ(format().encode(-v), format().largest | 0x80) << v;
  }
  EXPECT_EQ(format().encode(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(format().encode(-0.0F), 0x80);
  EXPECT_TRUE(std::isnan(format().decode(format().encode(NAN))));
}

INSTANTIATE_TEST_SUITE_P(Formats, Float8, ::testing::Values(DType::e4m3, DType::e5m2));

}  // namespace
}  // namespace trireme
