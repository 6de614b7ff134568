// The tokenizers of CPM-Bee and CPM-9G: at every place the longest token of a vocabulary file, found in a trie.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/spec.h"
#include "tokenizer/text_model.h"

namespace trireme {

/// The tokens of a vocabulary file and how unknown characters are spelled.
struct CpmVocabulary {
  TokenizerSpec spec;  // tokens, special tokens, roles
  int32_t unk_id = 0;
  bool has_bytes = false;               // CPM-9G: an unknown character becomes the tokens of its bytes
  std::array<int32_t, 256> byte_ids{};  // where has_bytes
};

/// Reads a vocabulary: CPM-9G's, where every line is a JSON string, with <unk>, <s>, </s> and <0x00> to <0xFF>; or
/// CPM-Bee's, where every line is a token, </n> and </_> are the line break and the space, and all else in <> is
/// special. IoError naming `where` and the line.
CpmVocabulary read_cpm_vocabulary(std::string_view text, const std::string& where);

/// A run of characters that no token begins with becomes one <unk> (Bee), or its bytes' tokens (9G). Where special
/// tokens are asked for, a text is in Bee's language: <name> is a special token and << is a <; ConfigError naming the
/// byte where it is not, or where the vocabulary has no such token.
class CpmTokenizer : public TextModel {
 public:
  explicit CpmTokenizer(CpmVocabulary vocabulary);

  std::unique_ptr<TextEncoder> encoder() const override;
  bool finds_special() const override { return !vocabulary_.has_bytes; }
  void decode(std::string& out, int32_t id, DecodeState& state) const override;
  void finish(std::string& out, DecodeState& state) const override;

 private:
  class Worker;

  CpmVocabulary vocabulary_;
  ByteTrie trie_;
  std::map<std::string, int32_t, std::less<>> special_;  // Bee's
};

}  // namespace trireme
