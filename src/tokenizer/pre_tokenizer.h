// The chain of cuts that makes pieces of a text (tokenizer.json's "pre_tokenizer"), for all chains but the common one,
// a single known pattern, which the encoder scans by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/regex.h"
#include "tokenizer/spec.h"

namespace trireme {

struct Span {
  size_t begin, end;
};

/// A text and the pieces it was cut into, in order; what lies between them is gone.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  bool head = true;  // the first piece is what the whole text begins with

  struct Match {
    size_t begin, end;
    bool hit;  // false: what lies between matches
  };
  std::vector<Match> matches;  // scratch
  std::vector<Span> cut;       // scratch
};

class PreTokenizer {
 public:
  /// ConfigError where a pattern is malformed.
  explicit PreTokenizer(const std::vector<PieceRule>& rules);

  /// The scanner, where its pieces are all there is to do.
  std::optional<SplitPattern> scanner() const { return scanner_; }
  /// Cuts pieces.text, with pieces.head told by the caller. ConfigError where a step makes more than `limit` bytes.
  void apply(Pieces& pieces, size_t limit, RegexScratch& scratch) const;

 private:
  struct Step {
    PieceRule rule;
    std::optional<Regex> regex;
  };
  static void cut(const Step& step, Pieces& pieces, RegexScratch& scratch);
  static void find_matches(const Step& step, Pieces& pieces, Span span, RegexScratch& scratch);
  static void rewrite(const PieceRule& rule, Pieces& pieces, size_t limit);

  std::vector<Step> steps_;
  std::optional<SplitPattern> scanner_;
};

}  // namespace trireme
