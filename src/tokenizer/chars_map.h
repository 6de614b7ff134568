// SentencePiece's map from characters to characters, as it is compiled into a model and, as base64, into the
// tokenizer.json that is made of one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// The size of a double array (u32), the array, and the replacements, each ended by a zero byte. The array has the
/// layout of darts-clone; every index is checked when it is used.
class CharsMap {
 public:
  CharsMap() = default;
  /// IoError naming `where` for sizes that do not fit.
  CharsMap(std::string_view blob, const std::string& where);

  struct Rule {
    size_t length = 0;  // bytes of text that it replaces; 0: no rule
    std::string_view replacement;
  };
  /// The rule of the longest prefix of `text` that has one, which is SentencePiece's choice, or of the shortest, which
  /// is Hugging Face's.
  Rule find_longest(std::string_view text) const { return find(text, true); }
  Rule find_shortest(std::string_view text) const { return find(text, false); }
  /// Whether some rule begins with `text` and goes on, or is `text`.
  bool leads_on(std::string_view text) const;

 private:
  Rule find(std::string_view text, bool longest) const;
  /// The unit behind `node` by `byte`, or 0, which is the root and behind nothing.
  size_t child(size_t node, char byte) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace trireme
