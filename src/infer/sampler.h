// From logits to the next token. A choice is a pure function of (logits, history, parameters, sequence, position), so a
// run repeats whatever is generated beside it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

struct SamplingParams {
  double temperature = 1;  // 0: the most likely token
  int64_t top_k = 0;       // only the k most likely; 0: all
  double top_p = 1;        // only the smallest set of likeliest tokens whose probabilities reach p
  double repetition_penalty =
      1;  // divides positive and multiplies negative logits of tokens seen before (arXiv:1909.05858)
  uint64_t seed = 0;

  /// ConfigError for a value outside its range.
  void validate() const;
  /// Whether the choice is the likeliest token, whatever came before.
  bool greedy() const { return temperature == 0 && repetition_penalty == 1; }
};

/// The token of ops/likeliest.h; NumericError where it found a NaN or Inf.
int32_t checked_choice(int32_t likeliest);

class Sampler {
 public:
  Sampler(const SamplingParams& params, int64_t vocab_size);

  /// The token after `history` (prompt included) in sequence `sequence`. `logits` (V) is overwritten. Ties go to the
  /// smaller id. NumericError where a logit is NaN or Inf.
  int32_t next(std::span<float> logits, std::span<const int32_t> history, int64_t sequence);

 private:
  void penalise(std::span<float> logits, std::span<const int32_t> history);
  template <class Likelier>
  size_t nucleus(size_t kept, double& total, const Likelier& likelier);
  SamplingParams params_;
  std::vector<int32_t> order_;        // ids
  std::vector<float> probabilities_;  // by id, not normalised
  std::vector<bool> seen_;
};

}  // namespace trireme
