// Bulk encoding: one Encoder a thread over a shared Tokenizer. Most pieces of real text are few and short,
// so a direct-mapped cache from pieces of up to 23 bytes to up to 10 ids, a cache line each, answers nearly all of
// them; the rest is merged in scratch memory that is kept. No piece allocates, but for the output's growth.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/regex.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

class Encoder {
 public:
  static constexpr size_t kCacheSlots = size_t{1} << 15;  // 2 MiB, of which a text's frequent words use little

  /// `tokenizer` must outlive the encoder; `cache_slots` is a power of two.
  explicit Encoder(const Tokenizer& tokenizer, size_t cache_slots = kCacheSlots);

  /// Appends the ids of `text` to `out`; see Tokenizer::encode.
  void encode(std::vector<int32_t>& out, std::string_view text, bool special = false);

 private:
  static constexpr size_t kMaxIds = 10;

  struct Key {
    uint64_t words[3] = {};  // the bytes, zeros, and the length in the last byte (0: empty slot)
    bool operator==(const Key&) const = default;
  };
  struct alignas(64) Slot {
    Key key;
    int32_t ids[kMaxIds];  // -1 behind the last
  };

  /// Calls on_text with the stretches of text between the tokens that are found in it.
  template <class F>
  void around_tokens(std::vector<int32_t>& out, const AddedTokens& added, std::string_view text, F on_text);
  void encode_normalized(std::vector<int32_t>& out, std::string_view text, bool head);
  void encode_pieces(std::vector<int32_t>& out, std::string_view text, bool head);
  void encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end);
  static Key key_of(std::string_view piece, const char* text_end);

  const Tokenizer* tokenizer_;
  bool special_ = false;  // of the call
  BpeScratch scratch_;
  RegexScratch regex_scratch_;
  Pieces pieces_;
  std::vector<Slot> cache_;
  int shift_;
};

}  // namespace trireme
