// The published split patterns: cut a text into the pieces that merges never cross. Every byte lands in one piece.
// Scanned by hand instead of by a regex engine, at several times the speed (split_names.cpp spells the patterns).
// Another scanner is another class with the same next().
#pragma once

#include <optional>
#include <string_view>

#include "tokenizer/unicode.h"

namespace trireme {

/// GPT-2 (Radford et al. 2019, encoder.py):
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class Gpt2Split {
 public:
  /// The end of the piece that starts at p < end, where `end` is the end of the text.
  const char* next(const char* p, const char* end) const;

 private:
  const ClassTable& table_ = class_table();
};

/// Llama 3, and the cl100k of Hugging Face's files (kDigits 3); Qwen 2 (kDigits 1):
///   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
///   \s+(?!\S)|\s+
/// tiktoken's cl100k has |\s++$ before the line breaks (kWholeTail): white space that ends the text is one piece.
template <int kDigits, bool kWholeTail>
class WordSplit {
 public:
  const char* next(const char* p, const char* end) const;

 private:
  const ClassTable& table_ = class_table();
};
using Llama3Split = WordSplit<3, false>;
using Cl100kSplit = WordSplit<3, true>;
using Qwen2Split = WordSplit<1, false>;

/// o200k, with U for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and L for [\p{Ll}\p{Lm}\p{Lo}\p{M}]:
///   [^\r\n\p{L}\p{N}]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
///   \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
class O200kSplit {
 public:
  const char* next(const char* p, const char* end) const;

 private:
  const char* word(const char* p, const char* end, bool small) const;
  const ClassTable& table_ = class_table();
};

enum class SplitPattern : uint8_t { gpt2, llama3, cl100k, qwen2, o200k };

enum class SplitEngine : uint8_t { hugging_face, tiktoken };

/// The scanner that cuts as the regular expression `pattern` does in `engine`, if it is one of the published spellings.
std::optional<SplitPattern> known_split(std::string_view pattern, SplitEngine engine);
const char* split_name(SplitPattern pattern);

/// Calls `f` with the scanner.
template <class F>
decltype(auto) with_split(SplitPattern pattern, F&& f) {
  switch (pattern) {
    case SplitPattern::gpt2: return f(Gpt2Split());
    case SplitPattern::llama3: return f(Llama3Split());
    case SplitPattern::cl100k: return f(Cl100kSplit());
    case SplitPattern::qwen2: return f(Qwen2Split());
    case SplitPattern::o200k: break;
  }
  return f(O200kSplit());
}

}  // namespace trireme
