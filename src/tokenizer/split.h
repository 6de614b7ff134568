// Pre-tokenizers: cut a text into the pieces that merges never cross. Every byte lands in one piece.
// GPT-2's pattern, scanned by hand instead of by a regex engine (radford et al. 2019, encoder.py):
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Another pattern is another class with the same next().
#pragma once

#include "tokenizer/unicode.h"

namespace trireme {

class Gpt2Split {
 public:
  /// The end of the piece that starts at p < end, where `end` is the end of the text.
  const char* next(const char* p, const char* end) const;

 private:
  const ClassTable& table_ = class_table();
};

}  // namespace trireme
