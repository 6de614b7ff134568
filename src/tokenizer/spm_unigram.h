// SentencePiece's unigram model (Kudo 2018): of all ways to cut a text into pieces the one with the highest sum of
// scores, found from left to right in time linear in the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/spm_output.h"

namespace trireme {

/// Scores are added in float, from the begin of the text, and only a better path replaces one found before: so rounding
/// and ties fall as in the original.
class SpmUnigram {
 public:
  explicit SpmUnigram(const SpmModel& model);

  struct Scratch {
    struct Best {
      float score;
      int32_t id;
      uint32_t begin;  // of the last piece on the best path to here
    };
    std::vector<Best> best;  // by position
    std::vector<uint32_t> ends;
  };
  /// Appends the ids of `text`, which is normalized and shorter than 4 GiB.
  void encode(std::vector<int32_t>& out, std::string_view text, Scratch& scratch) const;

 private:
  void find_paths(std::string_view text, std::vector<Scratch::Best>& best) const;

  SpmOutput output_;
  ByteTrie trie_;
  std::vector<float> scores_;  // by id
  float unk_score_;
};

}  // namespace trireme
