// SentencePiece's unigram model: sums in float, control pieces are never found in text, a run of unknown characters is
// one id.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/spm_output.h"
#include "tokenizer/unigram_paths.h"

namespace trireme {

class SpmUnigram {
 public:
  explicit SpmUnigram(const SpmModel& model) : output_(model), paths_(make_paths(model)) {}

  using Scratch = UnigramPaths<float>::Scratch;
  /// Appends the ids of `text`, which is normalized and shorter than 4 GiB.
  void encode(std::vector<int32_t>& out, std::string_view text, Scratch& scratch) const;

 private:
  static UnigramPaths<float> make_paths(const SpmModel& model);

  SpmOutput output_;
  UnigramPaths<float> paths_;
};

}  // namespace trireme
