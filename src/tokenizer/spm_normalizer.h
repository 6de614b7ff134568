// SentencePiece's normalization: replace what the model's map of characters says, drop or keep repeated spaces, add the
// dummy space, spell spaces U+2581. What is not UTF-8 becomes U+FFFD, a byte at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/byte_trie.h"
#include "tokenizer/chars_map.h"
#include "tokenizer/spm_model.h"

namespace trireme {

inline constexpr std::string_view kSpmSpace = "\xE2\x96\x81";

class SpmNormalizer {
 public:
  SpmNormalizer(const SpmModel& model, const std::string& where);

  /// How a text begins.
  enum class Begin {
    as_model,  // as the model says
    prefixed,  // with the dummy space, and all spaces of its own
    inside,    // as the continuation of a text: no dummy space, all spaces of its own
  };
  /// Replaces the content of `out` by the normalized `text`.
  void normalize(std::string& out, std::string_view text, Begin begin = Begin::as_model) const;
  /// The longest user-defined symbol that `text` starts with, and its id.
  ByteTrie::Match symbol(std::string_view text) const {
    return has_symbols_ ? symbols_.longest(text) : ByteTrie::Match();
  }

 private:
  struct Step {
    std::string_view text;  // what goes to the output
    size_t length;          // what was read
  };
  Step step(std::string_view text) const;
  size_t plain_length(std::string_view text) const;

  CharsMap map_;
  ByteTrie symbols_;
  bool has_symbols_ = false, dummy_ = false, suffix_ = false, remove_extra_ = false;
  std::string_view space_;
  std::array<bool, 256> plain_{};  // bytes that are copied whatever ASCII byte follows
};

}  // namespace trireme
