// The chain of rewritings before a text is cut (tokenizer.json's "normalizer").
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "tokenizer/grapheme_map.h"
#include "tokenizer/spec.h"

namespace trireme {

class Normalizer {
 public:
  /// ConfigError where a pattern, IoError where a map is malformed.
  explicit Normalizer(const std::vector<NormalizerRule>& rules);

  bool empty() const { return steps_.empty(); }
  /// The normalized text, or none where it is `text` as it is. ConfigError where a step makes more than `limit` bytes.
  std::optional<std::string> apply(std::string_view text, size_t limit, RegexScratch& scratch) const;

 private:
  struct Step {
    NormalizerRule rule;
    std::optional<Regex> regex;
    std::optional<GraphemeMap> map;
  };
  static bool keeps(const Step& step, std::string_view text);
  static std::string run(const Step& step, std::string_view text, size_t limit, RegexScratch& scratch);

  std::vector<Step> steps_;
};

/// How long `bytes` of text may become in all steps together: far more than any tokenizer in use makes of it, so that a
/// chain of replacements cannot fill the memory.
inline size_t growth_limit(size_t bytes) { return 64 * bytes + (size_t{1} << 20); }
/// The same of a token of a vocabulary, all of which stay so within a small multiple of their file.
inline size_t token_growth_limit(size_t bytes) { return 16 * bytes + 256; }

/// `text` with `content` for every `pattern`; an empty one is found around every character. ConfigError where that is
/// longer than `limit`.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content, size_t limit);

/// The same for every match of a pattern; an empty text stays empty.
std::string replace_matches(const Regex& regex, std::string_view text, std::string_view content, size_t limit,
                            RegexScratch& scratch);

/// ConfigError where `bytes` are more than `limit`.
void check_growth(size_t bytes, size_t limit);

}  // namespace trireme
