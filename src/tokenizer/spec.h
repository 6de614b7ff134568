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
    chars_map,        // SentencePiece's, by graphemes
    bert_clean,       // without control characters, and with blanks for white space
    bert_ideographs,  // with blanks around every Chinese character
    bert_accents,     // NFD without \p{Mn}
    nmt,              // as clean, with a list of its own
    byte_level        // spelled in the alphabet of bytes
  };
  Kind kind;
  std::string pattern, content;      // replace: what, by what; prepend: content; chars_map: pattern, see CharsMap
  bool left = false, right = false;  // strip
};

enum class SplitBehavior : uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// One step on the way from a text to its pieces; each works on what the one before left.
struct PieceRule {
  enum class Kind : uint8_t {
    scanner,       // cut as `scanner` does
    regex,         // cut at matches of `text`
    literal,       // cut at `text`
    number,        // cut at every \p{N}
    punctuation,   // cut at every \p{P} and ASCII sign
    white_space,   // cut at every \s
    words,         // cut at matches of \w+|[^\w\s]+
    replace,       // every `text` becomes `content`
    prefix,        // `content` goes before a piece that does not begin with it
    first_prefix,  // ... before the piece only that the text begins with
    spell,         // spelled in the alphabet of bytes
    length,        // cut behind every `length` characters
    scripts        // cut where another script begins; what stands before the first is gone
  };
  Kind kind;
  SplitPattern scanner = SplitPattern::gpt2;
  std::string text, content;
  SplitBehavior behavior = SplitBehavior::isolated;  // of cuts
  bool invert = false;                               // matches and what lies between them change places
  size_t length = 0;
};

/// How a piece becomes ids.
struct ModelRules {
  bool byte_level = true;              // symbols are bytes and the vocabulary is TokenizerSpec::tokens; else characters
  bool byte_fallback = false;          // a character without a token becomes its bytes' tokens <0x00> to <0xFF>
  bool fuse_unk = false;               // several unknown symbols in a row become one unknown token
  bool ignore_merges = false;          // a piece that is a token becomes it, whatever the merges make
  std::vector<int32_t> apart;          // ids of tokens that no bytes become, ascending; only where symbols are bytes
  int32_t unk = -1;                    // becomes of unknown symbols; -1: they are left out
  std::string prefix, suffix;          // around a piece's characters before they are merged: before all but the first,
                                       // behind the last; only where symbols are characters
  std::vector<std::string> spellings;  // by id, the vocabulary where symbols are characters; "": none
  std::vector<double> scores;          // by id, of a unigram model; empty: BPE
};

/// One step on the way from tokens to their text, as tokenizer.json names them.
struct DecodeStep {
  enum class Kind : uint8_t {
    byte_level,     // the bytes that the token spells in their alphabet, or the token where it does not
    byte_fallback,  // the byte of <0x41>
    replace,        // every `text` becomes `content`
    replace_regex,  // the same for matches
    strip,          // at most `start` of the character `text` are cut off the begin, `stop` off the end
    metaspace,      // every `text` becomes a blank; in the first token nothing where `flag`
    word_piece,     // a token but the first loses the prefix `text`, or gains a blank; `flag`: see tidy()
    suffix,         // every `text` becomes a blank, in the last token nothing
    ctc,            // of equal tokens in a row one; without `text`; where `flag`: tidy(), and `content` becomes a blank
    join,           // a blank before every token but the first
    fuse            // from here on all is one token
  };
  Kind kind;
  std::string text, content;
  int64_t start = 0, stop = 0;
  bool flag = false;
};

/// How the texts of tokens join; the rest of decoding is in TokenizerSpec::tokens.
struct DecodeRules {
  std::map<int32_t, std::string> first;  // what these tokens are at the begin of a text
  std::vector<int32_t> holes;            // ids without a token, ascending; no text begins with them
  std::vector<DecodeStep> token_steps;   // where a token's text depends on its neighbours: what is done to `spellings`
                                         // in place of all above
  std::vector<DecodeStep> text_steps;    // what is done to the whole text
  std::vector<std::string> spellings;    // by id
};

/// Holds: a merge's parts and product are ids, no pair has two merges, special is ascending; all ids are below the
/// number of tokens. A byte-level vocabulary spells a merge's product by its parts.
struct TokenizerSpec {
  std::vector<std::string> tokens;       // bytes that an id stands for; "" where the vocabulary has a hole
  std::vector<Merge> merges;             // by rank, which is their index
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
