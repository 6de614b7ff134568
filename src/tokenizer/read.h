// Reading Hugging Face's tokenizer files into a TokenizerSpec, and refusing what cannot be one: every spec
// that comes out holds what spec.h promises.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/spec.h"

namespace trireme {

/// See Tokenizer::load.
TokenizerSpec read_tokenizer(const std::string& folder);

/// What the side files say of special tokens.
struct SpecialTokens {
  std::map<std::string, std::optional<int32_t>> tokens;  // by text; the id where the file gives one
  std::map<std::string, std::string> roles;              // e.g. "eos_token": text

  /// Adds the keys `*_token`, `additional_special_tokens` and `added_tokens_decoder` of a
  /// tokenizer_config.json or special_tokens_map.json. ConfigError where they have another form, ask for
  /// matching that we do not do (lstrip, rstrip, single_word, not special) or contradict what is known.
  void add_config(const Json& config);
  /// Adds one {content, id, ...} object, of added_tokens_decoder (then with the id of its key) or of
  /// tokenizer.json's added_tokens.
  void add_token(const Json& entry, std::optional<int64_t> id);
  void add(const std::string& text, std::optional<int64_t> id);
};

/// A merge as the file has it: two spellings and where they stand.
struct MergeText {
  std::string left, right;
  int64_t line;
};

/// The lines of a merges.txt. IoError naming `where` and the line.
std::vector<MergeText> parse_merges(std::string_view text, const std::string& where);

struct VocabularyText {
  const Json& vocab;  // {spelling: id}
  std::vector<MergeText> merges;
  std::string vocab_file, merges_file;  // for errors
};

/// Checks and joins the parts. IoError naming the file and, where known, the line.
TokenizerSpec make_spec(const VocabularyText& text, const SpecialTokens& special);

}  // namespace trireme
