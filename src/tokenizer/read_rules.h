// The parts of a tokenizer.json that stand around its model, read into rules. Each takes the part's value, which may be
// null, and throws a ConfigError naming line, path and what is supported where it is of an unknown kind.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/regex.h"
#include "tokenizer/json_node.h"
#include "tokenizer/spec.h"

namespace trireme {

/// The pattern of a {"String": ...}, or of a {"Regex": ...} and true.
std::pair<std::string, bool> read_pattern(const JsonNode& node);

std::vector<NormalizerRule> read_normalizer(const JsonNode& node);

struct PieceRules {
  std::vector<PieceRule> rules;
  bool byte_level = false;  // the chain ends in ByteLevel: the vocabulary is spelled in the byte alphabet
};
PieceRules read_pre_tokenizer(const JsonNode& node);

/// The ids that the post-processor puts before and behind a text.
struct Template {
  std::vector<int32_t> before, after;
};
Template read_post_processor(const JsonNode& node);

/// How tokens of a vocabulary of characters become text.
class TokenDecoder {
 public:
  explicit TokenDecoder(const JsonNode& node);

  /// The bytes that a token stands for, `first` in a text or not.
  std::string apply(std::string_view spelling, bool first);
  /// Whether a token may differ where it is the first.
  bool first_differs() const { return first_differs_; }
  /// Sets the strip rules.
  void set_ends(DecodeRules& rules) const;

 private:
  struct Step {
    enum class Kind : uint8_t { byte_fallback, replace, strip, metaspace, join } kind;
    std::string text, content;
    int64_t start = 0, stop = 0;
    std::optional<Regex> regex;  // in place of a text that is replaced
  };
  void read(const JsonNode& node);

  std::vector<Step> steps_;
  bool fused_ = false, first_differs_ = false;
  Step ends_{Step::Kind::strip};
  RegexScratch scratch_;
};

/// Refuses a decoder that is not ByteLevel, which a byte-level vocabulary needs.
void require_byte_level_decoder(const JsonNode& node);

}  // namespace trireme
