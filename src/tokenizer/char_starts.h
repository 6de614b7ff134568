// A head start for byte-level merging: the characters of a piece, each merged by itself once and for all, are a third
// of its bytes where it is Chinese. The result is that of starting from bytes
//  - if no character of it may merge with a neighbour before all merges within it are done, as is so in every
//  vocabulary
//    that was trained; in rank files, whose merges are all ways to cut a token, it is so of nearly all characters, and
//  - if nothing in the piece lets a part of one character merge with its neighbour. The few tokens that hold a whole
//    and a part, like a blank with the first byte of a character, tell where that may be; such pieces start from bytes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/spec.h"

namespace trireme {

class CharStarts {
 public:
  /// Appends the ids of some bytes, merged by themselves.
  using MergeAlone = std::function<void(std::vector<int32_t>& out, std::string_view bytes)>;

  CharStarts() = default;
  /// Stays empty where the merges are few.
  CharStarts(const TokenizerSpec& spec, const MergeAlone& merge_alone);

  /// Writes the symbols of `piece`, at most one a byte, and returns their number; 0 where it must start from bytes.
  size_t symbols(int32_t* ids, std::string_view piece) const;

 private:
  struct Entry {
    int32_t ids[3];
    uint8_t count;
    bool guarded;
    bool blocked;  // the first condition does not hold
  };
  /// Bits by the low six bits of a byte.
  struct Guard {
    uint64_t before = 0;  // last bytes of a character that may merge into this one
    uint64_t behind = 0;  // first bytes of a character into which this one may merge
  };
  static constexpr uint32_t kPoints = 0x10000;

  void guard(std::string_view token);
  void block_late(const TokenizerSpec& spec);

  std::vector<Entry> entries_;
  std::unordered_map<uint32_t, Guard> guards_;
  std::array<uint64_t, 64> pairs_{};  // by last byte: first bytes with which it may merge
};

}  // namespace trireme
