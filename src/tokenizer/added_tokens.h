// Tokens that are looked for in the text before all else, as Hugging Face's AddedVocabulary does: the leftmost, of
// those the longest. The contents lie sorted, which makes them a trie: from byte to byte the range that fits narrows.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec.h"

namespace trireme {

class AddedTokens {
 public:
  struct Entry {
    AddedToken token;
    bool special;
  };
  explicit AddedTokens(std::vector<Entry> entries);

  /// Whether some of them are looked for at all: the special ones only where `special` asks for them.
  bool any(bool special) const { return special ? !entries_.empty() : any_ordinary_; }

  struct Found {
    size_t begin, end;  // with the white space that the token takes
    int32_t id;
  };
  /// The matches in `text`, in order. Without `special`, what a special token takes is text. A match within white space
  /// that the one before took counts too, and text goes on behind it, unless it would take white space itself.
  void find_all(std::vector<Found>& out, std::string_view text, bool special) const;

 private:
  size_t next_candidate(std::string_view text, size_t from) const;
  const Entry* longest_at(std::string_view text, size_t at) const;

  std::vector<Entry> entries_;  // by content
  std::array<bool, 256> begins_{};
  int only_first_ = -1;  // the one byte with which all begin
  bool any_ordinary_ = false;
};

}  // namespace trireme
