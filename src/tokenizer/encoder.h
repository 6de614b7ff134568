// Bulk encoding: one Encoder a thread over a shared Tokenizer. Most pieces of real text are few and short,
// so a direct-mapped cache from pieces of up to 15 bytes to up to 4 ids answers nearly all of them; the rest
// is merged in scratch memory that is kept. No piece allocates, but for the output's growth.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

namespace trireme {

class Encoder {
 public:
  static constexpr size_t kCacheSlots = size_t{1} << 15;  // 1 MiB: a core's own cache

  /// `tokenizer` must outlive the encoder; `cache_slots` is a power of two.
  explicit Encoder(const Tokenizer& tokenizer, size_t cache_slots = kCacheSlots);

  /// Appends the ids of `text` to `out`; see Tokenizer::encode.
  void encode(std::vector<int32_t>& out, std::string_view text, bool special = false);

 private:
  static constexpr size_t kMaxIds = 4;

  struct Key {
    uint64_t low = 0, high = 0;  // the bytes, zeros, and the length in the last byte (0: empty slot)
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    int32_t ids[kMaxIds];  // -1 behind the last
  };

  void encode_plain(std::vector<int32_t>& out, std::string_view text);
  void encode_piece(std::vector<int32_t>& out, std::string_view piece, const char* text_end);
  static Key key_of(std::string_view piece, const char* text_end);

  const Tokenizer* tokenizer_;
  Gpt2Split split_;
  BpeScratch scratch_;
  std::vector<Slot> cache_;
  int shift_;
  std::vector<int32_t> special_;  // longest text first
};

}  // namespace trireme
