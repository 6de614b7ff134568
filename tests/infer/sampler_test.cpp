// The sampler against the definitions of transformers' logits processors, in double.
#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/random.h"

namespace trireme {
namespace {

constexpr double kOut = -std::numeric_limits<double>::infinity();

std::vector<float> random_logits(size_t vocab, uint64_t seed, float spread = 2) {
  std::vector<float> logits(vocab);
  for (size_t i = 0; i < vocab; ++i) logits[i] = spread * normal_float(RandomKey::of(seed, 1), i);
  return logits;
}

std::vector<double> softmax(const std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> p;
  double sum = 0;
  for (const double s : scores) sum += p.emplace_back(std::exp(s - largest));
  for (double& x : p) x /= sum;
  return p;
}

/// RepetitionPenalty, Temperature, TopK, TopP in that order, then softmax.
std::vector<double> reference(const std::vector<float>& logits, const std::vector<int32_t>& history,
                              const SamplingParams& params) {
  std::vector<double> scores(logits.begin(), logits.end());
  for (const int32_t id : std::set<int32_t>(history.begin(), history.end())) {
    double& s = scores[static_cast<size_t>(id)];
    s = s < 0 ? s * params.repetition_penalty : s / params.repetition_penalty;
  }
  for (double& s : scores) s /= params.temperature;
  if (params.top_k > 0) {
    std::vector<double> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    const double least = sorted[std::min(sorted.size(), static_cast<size_t>(params.top_k)) - 1];
    for (double& s : scores)
      if (s < least) s = kOut;
  }
  if (params.top_p < 1) {
    const std::vector<double> p = softmax(scores);
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
    double below = 0;
    for (size_t i = 0; i + 1 < order.size(); ++i)
      if ((below += p[order[i]]) <= 1 - params.top_p) scores[order[i]] = kOut;
  }
  return softmax(scores);
}

int32_t draw(Sampler& sampler, std::vector<float> logits, const std::vector<int32_t>& history, int64_t sequence = 0) {
  return sampler.next(logits, history, sequence);
}

class Frequencies : public ::testing::TestWithParam<SamplingParams> {};

TEST_P(Frequencies, FollowTheDefinition) {
  constexpr int kDraws = 20000;
  const std::vector<float> logits = random_logits(40, 3);
  const std::vector<int32_t> history{1, 5, 5, 7, 30, 1};
  const std::vector<double> p = reference(logits, history, GetParam());
  Sampler sampler(GetParam(), 40);
  std::vector<int> counts(40);
  for (int sequence = 0; sequence < kDraws; ++sequence)
    ++counts[static_cast<size_t>(draw(sampler, logits, history, sequence))];
  for (size_t i = 0; i < p.size(); ++i) {
    // Where p is 0 this asks for none at all.
    EXPECT_LE(std::abs(counts[i] - kDraws * p[i]), 5 * std::sqrt(kDraws * p[i] * (1 - p[i])))
        << "token " << i << ", p " << p[i];
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sampler, Frequencies,
    ::testing::Values(SamplingParams{}, SamplingParams{.temperature = 0.7}, SamplingParams{.temperature = 3},
                      SamplingParams{.top_k = 1}, SamplingParams{.top_k = 7}, SamplingParams{.top_k = 1000},
                      SamplingParams{.top_p = 0.5}, SamplingParams{.top_p = 0.9}, SamplingParams{.top_p = 1e-9},
                      SamplingParams{.repetition_penalty = 1.5}, SamplingParams{.repetition_penalty = 0.5},
                      SamplingParams{
                          .temperature = 1.3, .top_k = 20, .top_p = 0.8, .repetition_penalty = 1.2, .seed = 9}));

TEST(Sampler, ANucleusBeyondTheFirstSortedTokensIsWhole) {
  const std::vector<float> logits = random_logits(600, 4, 0.5);
  for (const double top_p : {0.3, 0.9, 0.999}) {
    const SamplingParams params{.top_p = top_p};
    const std::vector<double> p = reference(logits, {}, params);
    Sampler sampler(params, 600);
    std::set<int32_t> drawn;
    for (int sequence = 0; sequence < 6000; ++sequence) drawn.insert(draw(sampler, logits, {}, sequence));
    for (const int32_t id : drawn) EXPECT_GT(p[static_cast<size_t>(id)], 0) << top_p;
    double missing = 0;  // a token of probability q is never drawn with (1-q)^6000
    for (size_t i = 0; i < p.size(); ++i)
      if (drawn.count(static_cast<int32_t>(i)) == 0) missing = std::max(missing, p[i]);
    EXPECT_LT(missing, 20.0 / 6000) << top_p;
  }
}

TEST(Sampler, GreedyTakesTheLargestAndTheFirstOfEqualOnes) {
  Sampler greedy({.temperature = 0}, 5);
  EXPECT_EQ(draw(greedy, {1, 3, 2, 3, -1}, {}), 1);
  EXPECT_EQ(draw(greedy, {-4, -3, -2, -1, -1}, {}), 3);
  Sampler penalised({.temperature = 0, .repetition_penalty = 2}, 5);
  EXPECT_EQ(draw(penalised, {1, 3, 2, 3, -1}, {1, 1, 3}), 2);
  EXPECT_EQ(draw(penalised, {-1, -1.5, -3, -3, -3}, {0}), 1);
}

TEST(Sampler, GreedyFindsTheFirstOfTheLargestAndWhatIsBrokenWhereverTheyAre) {
  for (const size_t size : {1, 63, 64, 65, 200}) {
    Sampler greedy({.temperature = 0}, static_cast<int64_t>(size));
    for (size_t at = 0; at < size; ++at) {
      std::vector<float> logits(size, -3);
      for (size_t i = at; i < size; i += 1 + size / 3) logits[i] = i == at ? -0.0F : 0.0F;
      EXPECT_EQ(draw(greedy, logits, {}), static_cast<int32_t>(at)) << size;
      logits[at] = std::nanf("");
      EXPECT_THROW(draw(greedy, logits, {}), NumericError) << size << ", " << at;
    }
  }
}

TEST(Sampler, TopKKeepsTheSmallerIdsOfEqualOnes) {
  Sampler sampler({.top_k = 2}, 5);
  for (int sequence = 0; sequence < 200; ++sequence) EXPECT_LT(draw(sampler, {1, 1, 1, 1, 1}, {}, sequence), 2);
}

TEST(Sampler, AChoiceIsAFunctionOfSeedSequenceAndPositionOnly) {
  const std::vector<float> logits = random_logits(500, 5);
  const SamplingParams params{.top_k = 300, .top_p = 0.95, .seed = 11};
  Sampler used(params, 500);
  std::set<int32_t> by_sequence, by_position, by_seed;
  for (int64_t i = 0; i < 50; ++i) {
    const std::vector<int32_t> history(static_cast<size_t>(i + 1), 3);
    Sampler fresh(params, 500);
    EXPECT_EQ(draw(used, logits, history, i), draw(fresh, logits, history, i));
    by_sequence.insert(draw(used, logits, {3}, i));
    by_position.insert(draw(used, logits, history, 0));
    Sampler other({.seed = static_cast<uint64_t>(i)}, 500);
    by_seed.insert(draw(other, logits, {3}, 0));
  }
  for (const auto& drawn : {by_sequence, by_position, by_seed}) EXPECT_GT(drawn.size(), 20U);
}

TEST(Sampler, ExtremeTemperaturesStayInRange) {
  const std::vector<float> logits = random_logits(50, 6);
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (const double cold : {1e-3, 1e-40, 1e-300, std::numeric_limits<double>::denorm_min()}) {
    Sampler sampler({.temperature = cold}, 50);
    for (int sequence = 0; sequence < 20; ++sequence) EXPECT_EQ(draw(sampler, logits, {}, sequence), best) << cold;
  }
  Sampler hot({.temperature = 1e300}, 50);
  std::set<int32_t> drawn;
  for (int sequence = 0; sequence < 2000; ++sequence) drawn.insert(draw(hot, logits, {}, sequence));
  EXPECT_EQ(drawn.size(), 50U);
}

TEST(Sampler, IdsBehindTheLogitsAreNeverChosen) {
  // The matrix has 64 rows, 50 of which are tokens; what lies behind in memory is large.
  std::vector<float> memory(64, 100.0F);
  const std::vector<float> logits = random_logits(50, 7);
  for (const SamplingParams& params : {SamplingParams{}, SamplingParams{.top_k = 10}, SamplingParams{.top_p = 0.9},
                                       SamplingParams{.temperature = 0}}) {
    Sampler sampler(params, 64);
    for (int sequence = 0; sequence < 500; ++sequence) {
      std::copy(logits.begin(), logits.end(), memory.begin());
      EXPECT_LT(sampler.next(std::span(memory).first(50), {}, sequence), 50);
    }
  }
}

TEST(Sampler, ValuesOutsideTheirRangesAreRefused) {
  const double nan = std::nan("");
  for (const SamplingParams& bad :
       {SamplingParams{.temperature = -1}, SamplingParams{.temperature = nan}, SamplingParams{.top_k = -1},
        SamplingParams{.top_p = 0}, SamplingParams{.top_p = 1.5}, SamplingParams{.top_p = nan},
        SamplingParams{.repetition_penalty = 0}, SamplingParams{.repetition_penalty = -2},
        SamplingParams{.repetition_penalty = 1e30}, SamplingParams{.repetition_penalty = nan}})
    EXPECT_THROW(Sampler(bad, 5), ConfigError);
}

TEST(Sampler, BrokenLogitsAreANumericError) {
  for (const float bad :
       {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (const SamplingParams& params :
         {SamplingParams{}, SamplingParams{.temperature = 0}, SamplingParams{.top_p = 0.5}}) {
      Sampler sampler(params, 3);
      EXPECT_THROW(draw(sampler, {0, bad, 1}, {}), NumericError);
    }
}

}  // namespace
}  // namespace trireme
