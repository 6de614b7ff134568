#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace trireme {
namespace {
constexpr uint64_t kSamplingSite = name_hash("sampling");
}

void SamplingParams::validate() const {
  if (!(temperature >= 0)) throw ConfigError(cat("temperature is ", temperature, ", expected 0 (greedy) or more"));
  if (top_k < 0) throw ConfigError(cat("top-k is ", top_k, ", expected 0 (all) or more"));
  if (!(top_p > 0 && top_p <= 1)) throw ConfigError(cat("top-p is ", top_p, ", expected more than 0 and at most 1"));
  if (!(repetition_penalty > 0)) throw ConfigError(cat("repetition-penalty is ", repetition_penalty, ", expected more than 0"));
}

Sampler::Sampler(const SamplingParams& params, int64_t vocab_size)
    : params_(params), order_(static_cast<size_t>(vocab_size)), probabilities_(static_cast<size_t>(vocab_size)), seen_(static_cast<size_t>(vocab_size)) {
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

int32_t Sampler::next(std::span<float> logits, std::span<const int32_t> history, int64_t sequence) {
  if (params_.repetition_penalty != 1) penalise(logits, history);
  if (params_.temperature == 0) return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());

  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::iota(order_.begin(), order_.end(), 0);
  size_t kept = logits.size();
  if (params_.top_k > 0) kept = std::min(kept, static_cast<size_t>(params_.top_k));
  const auto end = order_.begin() + static_cast<std::ptrdiff_t>(kept);
  if (params_.top_p < 1)
    std::partial_sort(order_.begin(), end, order_.end(), likelier);
  else if (kept < logits.size())
    std::nth_element(order_.begin(), end - 1, order_.end(), likelier);

  const float largest = *std::max_element(logits.begin(), logits.end());
  const float scale = 1.0F / static_cast<float>(params_.temperature);
  double total = 0;
  for (size_t i = 0; i < kept; ++i) total += probabilities_[i] = std::exp((logits[static_cast<size_t>(order_[i])] - largest) * scale);
  if (params_.top_p < 1) {
    double reached = 0;
    size_t n = 0;
    while (n < kept && reached < params_.top_p * total) reached += probabilities_[n++];
    kept = n;
    total = reached;
  }
  const Philox4 bits = RandomKey::of(params_.seed, kSamplingSite).draw(static_cast<uint64_t>(sequence), history.size());
  double left = (static_cast<double>(bits[0]) * 0x1p-32 + static_cast<double>(bits[1]) * 0x1p-64) * total;
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= probabilities_[i];
    if (left < 0) return order_[i];
  }
  return order_[kept - 1];
}

}  // namespace trireme
