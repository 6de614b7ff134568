// What a BPE or unigram tokenizer is, as plain data: the form that readers and the trainer make, that the encoder is
// built from and that writers write. What a spec does not say is GPT-2's: bytes as symbols, no normalization, GPT-2's
// split.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tokenizer/split.h"

namespace trireme {

/// Two neighbouring tokens that become one. Merges of lower rank are applied first.
struct Merge {
  int32_t left, right, product;
};

/// A token that is looked for in the text before all else (Hugging Face's AddedToken).
struct AddedToken {
  int32_t id;
  std::string content;
  bool lstrip = false, rstrip = false;  // takes the white space on that side with it
  bool single_word = false;             // only where no \w stands beside it
  bool normalized = false;              // looked for in the normalized text
};

/// One rewriting of the whole text, before it is cut.
struct NormalizerRule {
  enum class Kind : uint8_t {
    nfd,
    nfc,
    nfkd,
    nfkc,
    lowercase,
    strip,
    strip_accents,
    prepend,
    replace,
    replace_regex,
    chars_map  // SentencePiece's, by graphemes
  };
  Kind kind;
  std::string pattern, content;      // replace: what, by what; prepend: content; chars_map: pattern, see CharsMap
  bool left = false, right = false;  // strip
};

enum class SplitBehavior : uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// One step on the way from a text to its pieces; each works on what the one before left.
struct PieceRule {
  enum class Kind : uint8_t {
    scanner,      // cut as `scanner` does
    regex,        // cut at matches of `text`
    literal,      // cut at `text`
    number,       // cut at every \p{N}
    punctuation,  // cut at every \p{P} and ASCII sign
    white_space,  // cut at every \s
    words,        // cut at matches of \w+|[^\w\s]+
    replace,      // every `text` becomes `content`
    prefix,       // `content` goes before a piece that does not begin with it
    first_prefix  // ... before the piece only that the text begins with
  };
  Kind kind;
  SplitPattern scanner = SplitPattern::gpt2;
  std::string text, content;
  SplitBehavior behavior = SplitBehavior::isolated;  // of cuts
  bool invert = false;                               // matches and what lies between them change places
};

/// How a piece becomes ids.
struct ModelRules {
  bool byte_level = true;              // symbols are bytes and the vocabulary is TokenizerSpec::tokens; else characters
  bool byte_fallback = false;          // a character without a token becomes its bytes' tokens <0x00> to <0xFF>
  bool fuse_unk = false;               // several unknown symbols in a row become one unknown token
  bool ignore_merges = false;          // a piece that is a token becomes it, whatever the merges make
  int32_t unk = -1;                    // becomes of unknown symbols; -1: they are left out
  std::vector<std::string> spellings;  // by id, the vocabulary where symbols are characters; "": none
  std::vector<double> scores;          // by id, of a unigram model; empty: BPE
};

/// How the texts of tokens join; the rest of decoding is in TokenizerSpec::tokens.
struct DecodeRules {
  std::map<int32_t, std::string> first;     // what these tokens are at the begin of a text
  std::string strip;                        // a character
  int64_t strip_start = 0, strip_stop = 0;  // so many of them are cut off at most
};

/// Holds: a merge's parts and product are ids, no pair has two merges, special is ascending; all ids are below the
/// number of tokens. A byte-level vocabulary spells a merge's product by its parts.
struct TokenizerSpec {
  std::vector<std::string> tokens;       // bytes that an id stands for; "" where the vocabulary has a hole
  std::vector<Merge> merges;             // by rank, which is their index
  std::vector<uint32_t> merge_ranks;     // by merge, where merges share ranks; else empty
  std::vector<int32_t> special;          // ids of tokens that text never becomes by itself, ascending
  std::map<std::string, int32_t> roles;  // e.g. "eos_token": the names of Hugging Face's files
  std::vector<AddedToken> added;         // further or other matching than that special tokens stand for their bytes
  std::vector<NormalizerRule> normalizer;
  std::vector<PieceRule> pieces = {{PieceRule::Kind::scanner}};
  ModelRules model;
  DecodeRules decode;
  std::vector<int32_t> template_before, template_after;  // around a text, where the caller asks for it
};

}  // namespace trireme
