// The distinct pieces of a corpus as symbols, in the memory of their bytes: a symbol of one or two bytes is known by
// them, a longer one has its id where its first three bytes were. One bit a byte says where symbols begin, another
// where pieces do. So symbols cost 1.3 bytes a byte of text, however many there are, and joining two is done in place.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tokenizer/piece_counts.h"

namespace trireme {

using SymbolPair = uint64_t;  // left id << 32 | right id
inline SymbolPair symbol_pair(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

class SymbolText {
 public:
  static constexpr int32_t kMaxSymbols = 1 << 24;

  /// Every byte of the pieces as a symbol. `byte_ids`: the id of each byte.
  SymbolText(PieceCounts pieces, const std::array<int32_t, 256>& byte_ids);

  uint32_t size() const { return size_; }  // in bytes; positions are below
  size_t memory_bytes() const { return size_ + size_ / 4 + size_ / kRankBits * 4 + 4 * size_t{counts_.size()}; }

  /// Whether a symbol begins at this position; whether a piece does, or the text ends.
  bool begins_symbol(uint32_t at) const { return (starts_[at / 64] >> at % 64 & 1) != 0; }
  bool begins_piece(uint32_t at) const { return (pieces_[at / 64] >> at % 64 & 1) != 0; }
  /// Where the symbol begins that is next, or the text ends; where the one before begins.
  uint32_t next(uint32_t at) const {
    uint64_t bits = starts_[at / 64] >> at % 64 >> 1;
    if (bits != 0) return at + 1 + static_cast<uint32_t>(std::countr_zero(bits));
    uint32_t word = at / 64 + 1;
    while ((bits = starts_[word]) == 0) ++word;
    return word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
  }
  uint32_t previous(uint32_t at) const {
    uint64_t bits = starts_[at / 64] << (63 - at % 64) << 1;
    if (bits != 0) return at - 1 - static_cast<uint32_t>(std::countl_zero(bits));
    uint32_t word = at / 64 - 1;
    while ((bits = starts_[word]) == 0) --word;
    return word * 64 + 63 - static_cast<uint32_t>(std::countl_zero(bits));
  }

  /// The symbol from `at` to `end`, which is next(at).
  int32_t symbol(uint32_t at, uint32_t end) const {
    const char* bytes = bytes_.data() + at;
    if (end - at == 1) return byte_ids_[static_cast<uint8_t>(*bytes)];
    uint32_t word = 0;
    if (end - at == 2) {
      std::memcpy(&word, bytes, 2);
      return two_ids_[word];
    }
    std::memcpy(&word, bytes, 3);
    return static_cast<int32_t>(word);
  }

  /// How often the piece occurs to which the position belongs.
  uint64_t count(uint32_t at) const { return counts_.count(piece_of(at)); }

  /// Makes one symbol of the two that begin at `at` and `middle`; it ends at `end`.
  void join(uint32_t at, uint32_t middle, uint32_t end, int32_t product) {
    starts_[middle / 64] &= ~(uint64_t{1} << middle % 64);
    uint32_t word = 0;
    if (end - at == 2) {
      std::memcpy(&word, bytes_.data() + at, 2);
      two_ids_[word] = product;
    } else {
      std::memcpy(bytes_.data() + at, &product, 3);
    }
  }

  /// Asks for the memory that is read where a symbol begins.
  void prefetch(uint32_t at) const {
    __builtin_prefetch(bytes_.data() + at);
    __builtin_prefetch(&starts_[at / 64]);
    __builtin_prefetch(&pieces_[at / 64]);
    __builtin_prefetch(&ranks_[at / kRankBits]);
  }

  /// Calls fn(position of the left symbol, pair, count) for every two neighbours of a piece, front to back.
  template <class F>
  void for_each_pair(F fn) const {
    uint32_t piece = UINT32_MAX;  // the first position begins the first
    uint64_t count = 0;
    int32_t left = 0;
    for (uint32_t at = 0, before = 0, end; at < size_; before = at, at = end) {
      end = next(at);
      const int32_t right = symbol(at, end);
      if (begins_piece(at))
        count = counts_.count(++piece);
      else
        fn(before, symbol_pair(left, right), count);
      left = right;
    }
  }

 private:
  static constexpr uint32_t kRankBits = 512;

  uint32_t piece_of(uint32_t at) const {
    uint32_t rank = ranks_[at / kRankBits];
    for (uint32_t word = at / kRankBits * (kRankBits / 64); word < at / 64; ++word)
      rank += static_cast<uint32_t>(std::popcount(pieces_[word]));
    return rank + static_cast<uint32_t>(std::popcount(pieces_[at / 64] << (63 - at % 64))) - 1;
  }

  PieceCounts counts_;
  PagedArray<char> bytes_;
  uint32_t size_;
  PagedArray<uint64_t> starts_, pieces_;  // a bit a byte, and one behind the end
  PagedArray<uint32_t> ranks_;            // pieces that begin before every kRankBits-th byte
  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> two_ids_;  // of symbols of two bytes, by these
};

}  // namespace trireme
