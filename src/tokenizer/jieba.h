// jieba's word segmentation, as jieba.cut(text) does it: of all ways to cut a run of Chinese and ASCII word characters
// into words of a dictionary the most probable one; what is left as single characters goes to a hidden Markov model of
// word begins and ends. Sums are made in the order of the original, in double, so that ties and rounding are equal.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"

namespace trireme {

/// The Markov model of the package's finalseg/prob_start.py, prob_trans.py and prob_emit.py: log probabilities of the
/// states begin, end, middle and single.
class JiebaModel {
 public:
  enum State : uint8_t { kBegin, kEnd, kMiddle, kSingle };  // in the order that decides ties

  /// `where` names the folder of the three texts in errors. IoError or ConfigError where they are malformed.
  JiebaModel(std::string_view start, std::string_view trans, std::string_view emit, const std::string& where);

  /// The most probable states of the characters.
  void find_states(std::vector<State>& states, const std::vector<uint32_t>& characters) const;

 private:
  static constexpr size_t kStates = 4;
  using Row = std::array<double, kStates>;

  const Row& emission(uint32_t character) const;

  Row start_;
  std::array<Row, kStates> trans_;  // from, to
  std::vector<Row> emit_;           // by character, from the first Chinese one
  Row unknown_;
};

class Jieba {
 public:
  /// `dictionary` is the text of a dict.txt: `word frequency tag` a line; `where` names it. IoError naming the line.
  Jieba(std::string_view dictionary, const std::string& where, JiebaModel model);

  struct Scratch {
    struct Step {
      double score;
      uint32_t next;  // where the word that begins here ends on the best path
    };
    std::vector<uint32_t> begins;      // of the characters of a run, in bytes, and its end
    std::vector<uint32_t> characters;  // code points
    std::vector<Step> route;
    std::vector<uint32_t> chinese;
    std::vector<JiebaModel::State> states;
  };
  /// Appends the words of `text` (shorter than 4 GiB), which together are the text. Bytes that are not UTF-8 are words.
  void cut(std::vector<std::string_view>& words, std::string_view text, Scratch& scratch) const;

 private:
  void cut_run(std::vector<std::string_view>& words, std::string_view run, Scratch& scratch) const;
  void find_route(std::string_view run, Scratch& scratch) const;
  void cut_unknown(std::vector<std::string_view>& words, std::string_view run, size_t first, size_t last,
                   Scratch& scratch) const;
  void cut_chinese(std::vector<std::string_view>& words, std::string_view run, size_t first, size_t last,
                   Scratch& scratch) const;
  bool is_word(std::string_view text) const;

  ByteTrie words_;              // to an index into scores_
  std::vector<double> scores_;  // log of a word's probability
  double unknown_score_ = 0;    // of a character that begins no word
  JiebaModel model_;
};

}  // namespace trireme
