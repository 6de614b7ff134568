// Numbers in fewer bits: what is exact is, what is left to chance has the right mean, and what was read back is kept.
#include "ops/state_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Halves, MakeUpEveryFloatAndTheHighOneIsTheNearestBf16) {
  const RandomKey random = RandomKey::of(1, 2);
  for (uint64_t i = 0; i < 200000; ++i) {
    uint32_t bits = random.draw(0, i)[0];
    if (i % 4 == 0) bits = (bits & 0xFFFF0000) | 0x8000;  // a tie
    if (i % 4 == 1) bits = (bits & 0xFFFF0000) | (0x7FFF + i / 4 % 3);
    const float x = from_bits(bits);
    const bf16_t high = high_half(x);
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(to_float(high)));
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(join_halves(high, low_half(x))), bits) << i;
    const bool is_tie = (bits & 0xFFFF) == 0x8000;
    ASSERT_EQ(high.bits, is_tie ? static_cast<uint16_t>((bits >> 16) + 1) : to_bf16(x).bits) << i;
  }
  for (const float x : {0.0F, -0.0F, HUGE_VALF, -HUGE_VALF, std::numeric_limits<float>::max()})
    EXPECT_EQ(std::bit_cast<uint32_t>(join_halves(high_half(x), low_half(x))), std::bit_cast<uint32_t>(x));
}

TEST(StochasticBf16, HasTheMeanOfWhatItRounds) {
  for (const float x : {1.0F, 1.0000001F, -0.3F, 3e-39F, from_bits(0x3FFFFFFF), -from_bits(0x40490FDB), 0.0F}) {
    double sum = 0;
    for (uint32_t random = 0; random < 65536; ++random) {  // all there are
      const float rounded = to_float(stochastic_bf16(x, random));
      ASSERT_LE(std::fabs(rounded - x), std::fabs(x) * 0x1p-7F + 1e-40F);
      sum += static_cast<double>(rounded);
    }
    EXPECT_EQ(sum / 65536, static_cast<double>(x)) << x;
  }
  EXPECT_TRUE(std::isnan(to_float(stochastic_bf16(NAN, 65535))));
}

/// Sum over bins of (count - mean)^2 / mean, in deviations from what chance gives.
double excess(const std::vector<int64_t>& counts) {
  double mean = 0, sum = 0;
  for (const int64_t c : counts) mean += static_cast<double>(c) / static_cast<double>(counts.size());
  for (const int64_t c : counts) sum += std::pow(static_cast<double>(c) - mean, 2) / mean;
  const auto freedom = static_cast<double>(counts.size() - 1);
  return (sum - freedom) / std::sqrt(2 * freedom);
}

TEST(RoundingBits, AreThreeUniformNumbersOfWhichNoTwoTellOfEachOther) {
  const RandomKey key = RandomKey::of(5, 6, 7);
  constexpr int64_t kDraws = 1 << 19;
  std::vector<int64_t> high[3], low[3], high_pairs[3], low_pairs[3];
  for (auto* all : {&high, &low, &high_pairs, &low_pairs})
    for (auto& counts : *all) counts.resize(256);
  double products[3] = {};
  for (int64_t i = 0; i < kDraws; ++i) {
    const RoundingBits bits = RoundingBits::of(key.draw(0, static_cast<uint64_t>(i / 4)), i);
    const uint32_t numbers[] = {bits.param(), bits.m(), bits.v()};
    for (size_t k = 0; k < 3; ++k) {
      const uint32_t a = numbers[k], b = numbers[(k + 1) % 3];
      ASSERT_LT(a, 65536U);
      ++high[k][a >> 8], ++low[k][a & 0xFF];
      ++high_pairs[k][a >> 12 << 4 | b >> 12], ++low_pairs[k][(a & 0xF) << 4 | (b & 0xF)];
      products[k] += (a / 65536.0 - 0.5) * (b / 65536.0 - 0.5) * 12;
    }
  }
  for (size_t k = 0; k < 3; ++k) {
    for (auto* all : {&high, &low, &high_pairs, &low_pairs}) EXPECT_LT(std::fabs(excess((*all)[k])), 6) << k;
    EXPECT_LT(std::fabs(products[k]) / std::sqrt(static_cast<double>(kDraws)), 6) << "correlation " << k;
  }
}

TEST(StepCode, HasTheMeanOfWhatItRounds) {
  for (const StepCode& code : {moment_steps(), root_steps()}) {
    const uint32_t all = uint32_t{1} << code.shift;
    for (const float x : {1.0F, 0.999F, 0.5F, 0.499F, 0.1F, 3e-3F, 1.9e-5F, 1e-5F, 3e-7F, 0.0F}) {
      double sum = 0;
      for (uint32_t random = 0; random < all; ++random) sum += static_cast<double>(code.decode(code.encode(x, random)));
      // Exact where steps are those of the float, else to one of the possible random numbers.
      EXPECT_NEAR(sum / all, static_cast<double>(x), x < 1.7e-5F ? 2e-5 / all : 1e-15) << x;
    }
    for (const float x : {0.999F, 0.3F, 3e-3F, 1e-5F, 3e-7F}) {
      double sum = 0;
      for (uint32_t random = 0; random < 65536; ++random)
        sum += static_cast<double>(code.decode(code.encode(x, code.chance(random))));
      const double step = x < 1.7e-5F ? 2e-5 : 0x1p-3 * static_cast<double>(x);
      EXPECT_NEAR(sum / 65536, static_cast<double>(x), step * 0x1p-17) << x;
    }
    EXPECT_EQ(code.encode(1.0F, all - 1), code.top);
    EXPECT_EQ(code.decode(code.top), 1.0F);
  }
}

TEST(StepCode, StepsAreAnEighthOfAnOctaveForMomentsAndASixteenthForRoots) {
  for (uint32_t c = 2; c <= 127; ++c) EXPECT_LE(moment_steps().decode(c) / moment_steps().decode(c - 1), 1.125F) << c;
  for (uint32_t c = 2; c <= 255; ++c) EXPECT_LE(root_steps().decode(c) / root_steps().decode(c - 1), 1.0625F) << c;
  EXPECT_LT(moment_steps().decode(1), 2e-5F);
  EXPECT_LT(root_steps().decode(1), 2e-5F);
}

TEST(Roots, OnlyZeroBecomesZero) {
  EXPECT_EQ(encode_root(0, 1, root_steps().half()), 0);
  for (const uint32_t random : {0U, root_steps().half(), (1U << 19) - 1}) EXPECT_EQ(encode_root(1e-30F, 1, random), 1);
}

TEST(Moments, HaveOneZero) {
  for (const float m : {0.0F, -0.0F, -1e-30F}) EXPECT_EQ(encode_moment(m, 1, moment_steps().half()), 0) << m;
  EXPECT_EQ(encode_moment(-1, 1, 0), 0xFF);
}

/// A coded state in memory of its own.
struct Coded {
  Coded(StateCode code, int64_t n)
      : values(code == StateCode::joined ? DType::u16 : DType::u8, {n}),
        companion(code == StateCode::joined ? DType::bf16 : DType::f32,
                  {code == StateCode::joined ? n : code_blocks(n)}),
        state{code, values.t, companion.t} {}
  std::vector<float> decoded(int64_t begin, int64_t end) const {
    CodedState part = state;
    part.values = state.values.slice(0, begin, end);
    if (state.code == StateCode::joined) part.companion = state.companion.slice(0, begin, end);
    part.in_run = begin;
    std::vector<float> out(static_cast<size_t>(end - begin));
    decode_state(out.data(), part, 0, end - begin);
    return out;
  }
  Owned values, companion;
  CodedState state;
};

TEST(CodedState, WhatWasDecodedIsEncodedToTheSameBits) {
  constexpr int64_t kSize = 3 * kCodeBlock + 17;
  const RandomKey random = RandomKey::of(3, 4);
  for (const StateCode code : {StateCode::joined, StateCode::moments, StateCode::roots}) {
    std::vector<float> values;
    for (uint64_t i = 0; i < kSize; ++i) {  // over 60 octaves, some of them beyond what a block can hold
      const float sign = code != StateCode::roots && random.draw(1, i)[0] % 2 == 0 ? -1.0F : 1.0F;
      const float octave = static_cast<float>(random.draw(2, i)[0] % 60) - 45;
      values.push_back(i % 50 == 0 ? 0 : sign * std::exp2(octave) * (1 + uniform_float(random.draw(3, i)[0])));
    }
    for (size_t i = kCodeBlock; i < 2 * kCodeBlock; ++i) values[i] *= 0x1p-80F;  // a block of nothing
    Coded first(code, kSize), second(code, kSize);
    encode_state(first.state, values.data());
    const std::vector<float> decoded = first.decoded(0, kSize);
    encode_state(second.state, decoded.data());
    EXPECT_TRUE(first.values.same_bits(second.values) && first.companion.same_bits(second.companion));
    EXPECT_EQ(second.decoded(0, kSize), decoded);
    if (code == StateCode::joined) {
      EXPECT_EQ(decoded, values);
    }
    // A part is read as in the whole, wherever it begins in a block.
    for (const auto& [begin, end] : {std::pair{0, 1}, {100, 700}, {300, 301}, {511, 785}})
      EXPECT_EQ(first.decoded(begin, end), std::vector<float>(decoded.begin() + begin, decoded.begin() + end));
  }
}

}  // namespace
}  // namespace trireme
