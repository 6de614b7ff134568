// tiktoken's rank files (`*.tiktoken`, Llama 3's tokenizer.model): on each line the base64 of a token's bytes and its
// rank, which is its id. Two neighbours merge wherever they together are a token, the lowest rank first. What such a
// file does not say, the pattern that cuts a text and the special tokens, is known by its name or comes from beside it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/read.h"
#include "tokenizer/spec.h"

namespace trireme {

/// Whether `text` begins as a rank file does: tells Llama 3's tokenizer.model from SentencePiece's.
bool is_rank_file(std::string_view text);

struct RankFile {
  std::string_view text;
  std::string name;     // without its folder
  std::string where;    // for errors
  std::string pattern;  // as tiktoken spells it, or split_name() of a known one; empty: by the file's name
};

/// The tokenizer of `file`. Where `side` has no tokens with ids, the special tokens are those that are published with a
/// file of this name, if it is known. IoError naming the line where the file is malformed; ConfigError where the
/// pattern is not known or the special tokens do not fit.
TokenizerSpec read_rank_file(const RankFile& file, SpecialTokens side);

}  // namespace trireme
