#include "infer/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "ops/likeliest.h"

namespace trireme {
namespace {
constexpr uint64_t kSamplingSite = name_hash("sampling");
constexpr size_t kFirstSorted = 64;
constexpr double kMaxPenalty = 100;
}  // namespace

int32_t checked_choice(int32_t likeliest) {
  if (likeliest < 0)
    throw NumericError("the model's logits hold a NaN or Inf; its weights are damaged or it diverged in training");
  return likeliest;
}

void SamplingParams::validate() const {
  if (!(temperature >= 0)) throw ConfigError(cat("temperature is ", temperature, ", expected 0 (greedy) or more"));
  if (top_k < 0) throw ConfigError(cat("top-k is ", top_k, ", expected 0 (all) or more"));
  if (!(top_p > 0 && top_p <= 1)) throw ConfigError(cat("top-p is ", top_p, ", expected more than 0 and at most 1"));
  if (!(repetition_penalty >= 1 / kMaxPenalty && repetition_penalty <= kMaxPenalty))
    throw ConfigError(
        cat("repetition-penalty is ", repetition_penalty, ", expected ", 1 / kMaxPenalty, " to ", kMaxPenalty));
}

Sampler::Sampler(const SamplingParams& params, int64_t vocab_size)
    : params_(params),
      order_(static_cast<size_t>(vocab_size)),
      probabilities_(static_cast<size_t>(vocab_size)),
      seen_(static_cast<size_t>(vocab_size)) {
  params_.validate();
}

void Sampler::penalise(std::span<float> logits, std::span<const int32_t> history) {
  const float penalty = static_cast<float>(params_.repetition_penalty);
  for (const int32_t id : history) {
    const size_t i = static_cast<size_t>(id);
    if (seen_[i]) continue;
    seen_[i] = true;
    logits[i] = logits[i] > 0 ? logits[i] / penalty : logits[i] * penalty;
  }
  for (const int32_t id : history) seen_[static_cast<size_t>(id)] = false;
}

/// How many of the first `kept` of order_ make up the nucleus; they are moved to the front, likeliest first, and
/// `total` becomes their sum. Sorts only as far as needed: the nucleus is mostly small beside the vocabulary.
template <class Likelier>
size_t Sampler::nucleus(size_t kept, double& total, const Likelier& likelier) {
  const double wanted = params_.top_p * total;
  const auto at = [&](size_t i) { return order_.begin() + static_cast<std::ptrdiff_t>(i); };
  size_t n = 0, sorted = 0;
  double reached = 0;
  while (n < kept && reached < wanted) {
    if (n == sorted) {
      sorted = std::min(kept, std::max(kFirstSorted, 4 * sorted));
      if (sorted < kept) std::nth_element(at(n), at(sorted), at(kept), likelier);
      std::sort(at(n), at(sorted), likelier);
    }
    reached += probabilities_[static_cast<size_t>(order_[n++])];
  }
  total = reached;
  return n;
}

int32_t Sampler::next(std::span<float> logits, std::span<const int32_t> history, int64_t sequence) {
  int32_t likeliest = checked_choice(likeliest_of(logits));
  if (params_.repetition_penalty != 1) {
    penalise(logits, history);
    likeliest = checked_choice(likeliest_of(logits));
  }
  if (params_.temperature == 0) return likeliest;
  const double largest = logits[static_cast<size_t>(likeliest)];

  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::iota(order_.begin(), order_.end(), 0);
  size_t kept = logits.size();
  if (params_.top_k > 0 && static_cast<size_t>(params_.top_k) < kept) {
    kept = static_cast<size_t>(params_.top_k);
    const auto end = order_.begin() + static_cast<std::ptrdiff_t>(logits.size());
    std::nth_element(order_.begin(), order_.begin() + params_.top_k, end, likelier);
  }
  double total = 0;
  for (size_t i = 0; i < kept; ++i) {
    const size_t id = static_cast<size_t>(order_[i]);
    // Divided, not multiplied by 1/temperature: that overflows for the smallest temperatures.
    total += probabilities_[id] = static_cast<float>(std::exp((double{logits[id]} - largest) / params_.temperature));
  }
  if (params_.top_p < 1) kept = nucleus(kept, total, likelier);
  const Philox4 bits = RandomKey::of(params_.seed, kSamplingSite).draw(static_cast<uint64_t>(sequence), history.size());
  double left = (static_cast<double>(bits[0]) * 0x1p-32 + static_cast<double>(bits[1]) * 0x1p-64) * total;
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= probabilities_[static_cast<size_t>(order_[i])];
    if (left < 0) return order_[i];
  }
  return order_[kept - 1];
}

}  // namespace trireme
