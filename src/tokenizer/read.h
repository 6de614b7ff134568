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
#include "tokenizer/folder.h"
#include "tokenizer/spec.h"

namespace trireme {

/// Of place.main tokenizer.json, or else vocab.json and merges.txt; see Tokenizer::load.
TokenizerSpec read_tokenizer(const TokenizerPlace& place);

/// What a file says of one added token.
struct AddedEntry {
  std::optional<int32_t> id;  // where a file gives one
  bool special = true;
  AddedToken rules{};  // but for id and content
};

/// What the files say of added tokens. What is known first stays; later entries must not give it another id.
struct SpecialTokens {
  std::map<std::string, AddedEntry> tokens;  // by text
  std::map<std::string, std::string> roles;  // e.g. "eos_token": text

  /// Adds the keys `*_token`, `additional_special_tokens` and `added_tokens_decoder` of a
  /// tokenizer_config.json or special_tokens_map.json. ConfigError where they have another form or contradict what is
  /// known.
  void add_config(const Json& config);
  /// Adds one {content, id, ...} object, of added_tokens_decoder (then with the id of its key) or of
  /// tokenizer.json's added_tokens.
  void add_token(const Json& entry, std::optional<int64_t> id);
  void add(const std::string& text, std::optional<int64_t> id, const AddedEntry& rules = {});
  /// ConfigError unless all are special tokens that are looked for as they are.
  void require_plain() const;
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

/// Checks and joins the parts of a file pair, GPT-2's kind. IoError naming the file and, where known, the line.
TokenizerSpec make_spec(const VocabularyText& text, const SpecialTokens& special);

/// The tokenizer that `root`, a tokenizer.json, describes, with what side files say of special tokens. ConfigError
/// naming line and path within the file where a part is malformed or of a kind that is not supported.
TokenizerSpec make_json_spec(const Json& root, SpecialTokens side);

/// Refuses a `key` of `object` that is there, not null, and not `wanted`; `reason` says who wants it.
void require_value(const Json& object, const char* key, const Json& wanted, std::string_view reason);

}  // namespace trireme
