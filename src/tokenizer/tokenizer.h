// The tokenizer room: text to ids and back, byte for byte. A tokenizer is special-token matching, a split
// (split.h) and merges (bpe.h), immutable once made, so any number of threads may share one. Bulk encoding
// keeps an Encoder (encoder.h) a thread, which remembers frequent words.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tokenizer/bpe.h"
#include "tokenizer/spec.h"

namespace trireme {

class Tokenizer {
 public:
  explicit Tokenizer(TokenizerSpec spec);

  /// Reads a folder: tokenizer.json if there is one, else vocab.json and merges.txt; special tokens also
  /// from tokenizer_config.json, special_tokens_map.json and added_tokens.json. IoError or ConfigError
  /// naming file and line where something is missing, malformed, or of a kind that we do not encode yet.
  static Tokenizer load(const std::string& folder);
  /// Writes all of these files but added_tokens.json into an existing folder, as Hugging Face's
  /// GPT2TokenizerFast reads them.
  void save(const std::string& folder, FileSystem& fs = real_file_system()) const;

  int32_t vocab_size() const { return static_cast<int32_t>(spec_.tokens.size()); }

  /// Ids of `text`, which need not be UTF-8. Only with `special` does text that spells a special token
  /// become that token (the leftmost, the longest of those).
  std::vector<int32_t> encode(std::string_view text, bool special = false) const;
  /// The bytes of `ids`; ConfigError naming the first id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes of one token, valid as long as the tokenizer; ConfigError outside the vocabulary.
  std::string_view token(int32_t id) const;

  bool is_special(int32_t id) const;
  /// Id of the special token spelled `text`.
  std::optional<int32_t> special_id(std::string_view text) const;
  /// Id of the token that ends a document.
  std::optional<int32_t> eos_id() const;

  /// Equal for tokenizers that give equal ids: tells whether token files or weights belong to this one.
  uint64_t fingerprint() const { return fingerprint_; }

  const TokenizerSpec& spec() const { return spec_; }
  const Bpe& bpe() const { return bpe_; }

 private:
  TokenizerSpec spec_;
  Bpe bpe_;
  uint64_t fingerprint_;
};

}  // namespace trireme
