// The unigram model of a tokenizer.json, as Hugging Face's tokenizers runs it: sums in double over every piece of the
// vocabulary; a run of unknown characters is one unknown token, or the tokens of its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/spec.h"
#include "tokenizer/unigram_paths.h"

namespace trireme {

class Unigram {
 public:
  /// `spec.model` has scores.
  explicit Unigram(const TokenizerSpec& spec);

  using Scratch = UnigramPaths<double>::Scratch;
  /// Appends the ids of `piece` (shorter than 4 GiB), which need not be UTF-8.
  void apply(std::vector<int32_t>& out, std::string_view piece, Scratch& scratch) const;

 private:
  static UnigramPaths<double> make_paths(const TokenizerSpec& spec);
  void append_unknown(std::vector<int32_t>& out, std::string_view run) const;

  UnigramPaths<double> paths_;
  int32_t unk_;
  bool has_bytes_;  // every byte has a token for what is unknown
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace trireme
