// Decoders of tokenizer.json that need more than one token at a time, run id by id: steps over tokens, which may wait
// for the next token, then steps over the text, which hold back what more text may change. What is put out for the
// ids, and at their end, joins to what the steps make of all of them at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"

namespace trireme {

class DecodeChain {
 public:
  /// ConfigError where a pattern is malformed.
  explicit DecodeChain(const DecodeRules& rules);

  /// Whether the tokens' texts are all there is to do.
  bool empty() const { return steps_.empty(); }
  /// Whether tokens go through steps of their own, before the text.
  bool has_token_steps() const { return text_begin_ > 0; }

  /// Appends what `token`, as the vocabulary spells it, completes. ConfigError where replacements explode.
  void push_token(std::string& out, std::string_view token, DecodeState& state) const;
  /// The same of a token that is text already.
  void push_text(std::string& out, std::string_view text, DecodeState& state) const;
  /// Appends what is left at the end.
  void finish(std::string& out, DecodeState& state) const;

  /// What a token becomes by itself, `first` of a text or not, with others behind it. Of steps over tokens only.
  std::string token(std::string_view spelling, bool first) const;

 private:
  struct Step {
    DecodeStep rule;
    std::optional<Regex> regex;
    std::vector<uint32_t> borders;  // of a text to replace
  };
  struct Place {
    bool first, last;
    size_t limit;
  };
  static std::string rewrite(const Step& step, std::string token, const Place& place);
  void through_tokens(std::string& out, size_t from, std::string token, DecodeState& state) const;
  void end_bytes(std::string& out, size_t at, DecodeState& state) const;
  std::string through_text(std::string text, DecodeState& state, bool last) const;
  static std::string run(const Step& step, DecodeStepState& state, std::string_view text, const Place& place);

  std::vector<Step> steps_;
  size_t text_begin_ = 0;  // from here on they are steps over the text
};

/// The steps that do to a text what those of `fused`, which follow a Fuse, do to it as a single token.
std::vector<DecodeStep> text_steps(const std::vector<DecodeStep>& fused);

}  // namespace trireme
