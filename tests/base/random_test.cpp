#include "base/random.h"

#include <gtest/gtest.h>

#include <vector>

namespace trireme {
namespace {

TEST(Philox, MatchesTheKnownAnswers) {  // Random123's kat_vectors, philox4x32 with 10 rounds
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Philox4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Philox4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomKey, DependsOnEveryPart) {
  const uint64_t base = RandomKey::of(1, 2, 3).key;
  EXPECT_NE(base, RandomKey::of(2, 2, 3).key);
  EXPECT_NE(base, RandomKey::of(1, 3, 3).key);
  EXPECT_NE(base, RandomKey::of(1, 2, 4).key);
  EXPECT_NE(RandomKey::of(1, 2, 3).key, RandomKey::of(2, 1, 3).key);
  const RandomKey key{base};
  EXPECT_NE(key.draw(0, 1), key.draw(1, 0));
  EXPECT_NE(key.draw(0, 1), key.draw(0, uint64_t{1} << 32));
}

TEST(UniformFloat, StaysBelowOne) {
  EXPECT_EQ(uniform_float(0), 0.0F);
  EXPECT_LT(uniform_float(0xffffffff), 1.0F);
}

TEST(NormalFloat, HasTheMomentsOfANormal) {
  const RandomKey key = RandomKey::of(7, name_hash("weights"));
  constexpr int kCount = 200'000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = normal_float(key, static_cast<uint64_t>(i));
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  // Five standard errors: of the mean 1/sqrt(n), the variance sqrt(2/n), the fourth moment sqrt(96/n).
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(fourth / kCount, 3, 5 * std::sqrt(96.0 / kCount));
}

TEST(NameHash, IsFnv1a) { EXPECT_EQ(name_hash("foobar"), 0x85944171f73967e8u); }

}  // namespace
}  // namespace trireme
