// A CharsMap as Hugging Face's tokenizers applies it ("Precompiled"): to each grapheme of less than six bytes as a
// whole, by the shortest rule that it begins with, and to the characters of all others one by one.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/regex.h"
#include "tokenizer/chars_map.h"

namespace trireme {

class GraphemeMap {
 public:
  /// IoError where `blob` is no CharsMap.
  explicit GraphemeMap(std::string_view blob);

  /// Whether apply() surely gives `text` as it is.
  bool keeps(std::string_view text) const;
  /// The mapped text; bytes that are not UTF-8 stay. ConfigError where it is longer than `limit`.
  std::string apply(std::string_view text, size_t limit, RegexScratch& scratch) const;

 private:
  void map_grapheme(std::string& out, std::string_view grapheme) const;

  CharsMap map_;
  Regex grapheme_;                 // of the PCRE2 library's Unicode
  std::array<bool, 128> plain_{};  // printable ASCII that no rule begins with: a grapheme of its own before ASCII
};

}  // namespace trireme
