// Training a byte-level BPE vocabulary: count the pieces of a corpus, then merge the most frequent pair of
// neighbours again and again (Sennrich et al. 2016). Counts of pairs are kept up to date by visiting only
// the pieces that hold the merged pair.
//
// Ids: the 256 bytes in GPT-2's order, then the merges, then the special tokens. Among pairs of equal count
// the one with the smaller left id, then right id, is merged, as in Hugging Face's trainer; the result does
// not depend on the order of the texts.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/piece_counts.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

struct TrainOptions {
  int64_t vocab_size = 8192;     // of everything: 256 bytes, merges, special tokens
  int64_t min_frequency = 2;     // rarer pairs are not merged
  int64_t max_token_length = 0;  // in characters that a token touches; 1: none joins two; 0: no limit
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // the first ends a document
  std::function<void(int64_t done, int64_t wanted)> progress;   // now and then, with the merges made; may be empty
};

class BpeTrainer {
 public:
  /// ConfigError where the vocabulary has no room for bytes and special tokens, or a special token is empty,
  /// a single byte, not UTF-8 or there twice.
  explicit BpeTrainer(TrainOptions options);

  /// Counts the pieces of one document, or of its next part: until `ended` its last pieces are kept back. Special
  /// tokens within it are plain text.
  void add(std::string_view text, bool ended = true);

  /// The vocabulary for all that was added. Where the corpus has too few pairs it is smaller than asked,
  /// and a warning says so.
  Tokenizer train() &&;

 private:
  size_t count_pieces(std::string_view text, bool ended);

  TrainOptions options_;
  Gpt2Split split_;
  std::string rest_;  // of the document whose parts are given
  size_t tried_ = 0;  // how long it was when it was last looked through
  PieceCounts pieces_;
  size_t text_bytes_ = 0;
};

Tokenizer train_bpe(std::span<const std::string_view> texts, const TrainOptions& options);

}  // namespace trireme
