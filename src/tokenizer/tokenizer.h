// The tokenizer room: text to ids and back. A tokenizer is a chain: added tokens are found (added_tokens.h), the text
// between them is normalized (normalizer.h) and cut into pieces (pre_tokenizer.h, split.h), pieces are merged (bpe.h).
// Or it is of another kind (text_model.h). It never changes once made, so any number of threads may share one. Bulk
// encoding keeps an Encoder (encoder.h) a thread, which remembers frequent words.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/decode_chain.h"
#include "tokenizer/jieba.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"
#include "tokenizer/unigram.h"

namespace trireme {

/// What a tokenizer is made of where a spec is not all.
struct TokenizerParts {
  TokenizerSpec spec;
  std::unique_ptr<const TextModel> model;  // another kind: of the spec count tokens, special and added tokens, roles
  std::unique_ptr<const Jieba> jieba;      // cuts the text into words, each of which is encoded by itself
  std::vector<std::pair<std::string, std::string>> files;  // by name: what it was read from
};

/// Working memory of Tokenizer::apply_model, kept by the caller.
struct ModelScratch {
  BpeScratch bpe;
  Unigram::Scratch unigram;
};

class Tokenizer {
 public:
  explicit Tokenizer(TokenizerSpec spec);
  explicit Tokenizer(TokenizerParts parts);

  /// Reads a folder, or one of the files that folder.h names: tokenizer.json (with jieba's dict.txt and prob_*.py:
  /// behind jieba's words), SentencePiece's or Llama 3's tokenizer.model, tiktoken's rank files, CPM's vocabs.txt or
  /// vocab.txt, vocab.json and merges.txt; special tokens also from tokenizer_config.json, special_tokens_map.json and
  /// added_tokens.json. IoError or ConfigError naming file and line where something is missing, malformed, or of a kind
  /// that we do not encode yet.
  static Tokenizer load(const std::string& path);
  /// Writes all of these files but added_tokens.json into an existing folder, as Hugging Face's
  /// GPT2TokenizerFast reads them. A tokenizer of another kind writes the files that it was read
  /// from; ConfigError where it has none.
  void save(const std::string& folder, FileSystem& fs = real_file_system()) const;

  int32_t vocab_size() const { return static_cast<int32_t>(spec_.tokens.size()); }

  /// Ids of `text`, which need not be UTF-8. Only with `special` does text that spells a special token
  /// become that token (the leftmost, the longest of those); added tokens that are not special always do.
  std::vector<int32_t> encode(std::string_view text, bool special = false) const;
  /// The bytes of `ids`; ConfigError naming the first id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes of one token within a text, valid as long as the tokenizer; ConfigError outside the vocabulary.
  std::string_view token(int32_t id) const;
  /// The same of the first token of a text, which some tokenizers spell otherwise.
  std::string_view first_token(int32_t id) const;
  /// decode() in steps: appends what `id` completes, and at the end of the ids what is left.
  void decode_next(std::string& out, int32_t id, DecodeState& state) const;
  void decode_end(std::string& out, DecodeState& state) const;

  bool is_special(int32_t id) const;
  /// Id of the token that ends a document.
  std::optional<int32_t> eos_id() const;

  /// Equal for tokenizers that give equal ids: tells whether token files or weights belong to this one.
  uint64_t fingerprint() const { return fingerprint_; }

  const TokenizerSpec& spec() const { return spec_; }
  const AddedTokens& added() const { return added_; }                        // found before normalization
  const AddedTokens& added_normalized() const { return added_normalized_; }  // found behind it
  const Normalizer& normalizer() const { return normalizer_; }
  const PreTokenizer& pre_tokenizer() const { return pre_tokenizer_; }
  /// Appends the ids of a piece of the chain.
  void apply_model(std::vector<int32_t>& out, std::string_view piece, ModelScratch& scratch) const {
    if (unigram_) return unigram_->apply(out, piece, scratch.unigram);
    bpe_.apply(out, piece, scratch.bpe);
  }
  const TextModel* model() const { return model_.get(); }  // nullptr: the chain above
  const Jieba* jieba() const { return jieba_.get(); }      // nullptr: text is not cut into words first

 private:
  TokenizerSpec spec_;
  Normalizer normalizer_;
  AddedTokens added_, added_normalized_;
  PreTokenizer pre_tokenizer_;
  DecodeChain decode_chain_;
  Bpe bpe_;
  std::optional<Unigram> unigram_;  // instead
  std::unique_ptr<const TextModel> model_;
  std::unique_ptr<const Jieba> jieba_;
  std::vector<std::pair<std::string, std::string>> files_;
  uint64_t fingerprint_;
};

}  // namespace trireme
