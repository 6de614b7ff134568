#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace trireme {
namespace {

/// The value of a small float from its fields, in double: sign, exponent of `exponent_bits`, fraction.
double reference(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/// Both formats by one set of claims.
struct Bf16 {
  using type = bf16_t;
  static constexpr int exponent_bits = 8;
  static bf16_t round(float v) { return to_bf16(v); }
};
struct F16 {
  using type = f16_t;
  static constexpr int exponent_bits = 5;
  static f16_t round(float v) { return to_f16(v); }
};

template <class Format>
class SmallFloat : public ::testing::Test {};
using Formats = ::testing::Types<Bf16, F16>;
TYPED_TEST_SUITE(SmallFloat, Formats);

TYPED_TEST(SmallFloat, AllValuesWidenExactlyAndNarrowBack) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto b = static_cast<uint16_t>(bits);
    const float wide = to_float(typename TypeParam::type{b});
    const double expected = reference(b, TypeParam::exponent_bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      ASSERT_TRUE(std::isnan(to_float(TypeParam::round(wide)))) << bits;
    } else {
      ASSERT_EQ(wide, expected) << bits;
      ASSERT_EQ(std::signbit(wide), std::signbit(expected)) << bits;
      ASSERT_EQ(TypeParam::round(wide).bits, b);
    }
  }
}

TYPED_TEST(SmallFloat, RoundsToNearestTiesToEvenBetweenAllNeighbours) {
  const auto infinity = static_cast<uint16_t>(((1 << TypeParam::exponent_bits) - 1) << (15 - TypeParam::exponent_bits));
  for (uint16_t low = 0; low < infinity; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    const double a = reference(low, TypeParam::exponent_bits);
    // The step above the largest finite value goes to where the next value would be.
    const double b = high == infinity ? 2 * a - reference(static_cast<uint16_t>(low - 1), TypeParam::exponent_bits)
                                      : reference(high, TypeParam::exponent_bits);
    const auto middle = static_cast<float>((a + b) / 2);
    for (const uint16_t sign : {0, 0x8000}) {
      const float s = sign ? -1.0F : 1.0F;
      ASSERT_EQ(TypeParam::round(s * middle).bits, (low & 1 ? high : low) | sign) << low;
      ASSERT_EQ(TypeParam::round(s * std::nextafter(middle, 0.0F)).bits, low | sign) << low;
      ASSERT_EQ(TypeParam::round(s * std::nextafter(middle, INFINITY)).bits, high | sign) << low;
    }
  }
}

TYPED_TEST(SmallFloat, HandlesTheEndsOfFloat) {
  EXPECT_TRUE(std::isinf(to_float(TypeParam::round(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(std::isinf(to_float(TypeParam::round(INFINITY))));
  EXPECT_EQ(TypeParam::round(std::numeric_limits<float>::denorm_min()).bits, 0);
  EXPECT_EQ(TypeParam::round(-0.0F).bits, 0x8000);
  // A NaN whose fraction lies in the dropped bits only must not become infinity.
  EXPECT_TRUE(std::isnan(to_float(TypeParam::round(std::bit_cast<float>(0x7F800001)))));
  EXPECT_TRUE(std::isnan(to_float(TypeParam::round(std::bit_cast<float>(0xFFFFFFFF)))));
}

TEST(DType, EpsilonIsTheStepAfterOne) {
  EXPECT_EQ(dtype_epsilon(DType::bf16), reference(0x3F81, 8) - 1);
  EXPECT_EQ(dtype_epsilon(DType::f16), reference(0x3C01, 5) - 1);
  EXPECT_EQ(dtype_epsilon(DType::f32), std::numeric_limits<float>::epsilon());
  EXPECT_EQ(dtype_epsilon(DType::f64), std::numeric_limits<double>::epsilon());
}

TEST(DType, NamesReadBack) {
  for (const DType t : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::i64, DType::u8, DType::u16,
                        DType::e4m3, DType::e5m2})
    EXPECT_EQ(dtype_from_name(dtype_name(t)), t);
  try {
    dtype_from_name("bflaot16");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(), "unknown dtype 'bflaot16', did you mean 'bfloat16'?");
  }
}

}  // namespace
}  // namespace trireme
