#include "tokenizer/symbol_text.h"

#include <algorithm>
#include <utility>

namespace trireme {

SymbolText::SymbolText(PieceCounts pieces, const std::array<int32_t, 256>& byte_ids)
    : counts_(std::move(pieces)), byte_ids_(byte_ids), two_ids_(1 << 16, -1) {
  counts_.drop_table();
  size_ = static_cast<uint32_t>(counts_.bytes().size());
  const size_t words = size_ / 64 + 1;
  starts_.resize(words);
  std::fill(starts_.begin(), starts_.end(), ~uint64_t{0});
  starts_.back() = ~uint64_t{0} >> (63 - size_ % 64);
  pieces_.resize(words);
  for (uint32_t p = 0; p <= counts_.size(); ++p) {
    const uint32_t at = counts_.begin(p);
    pieces_[at / 64] |= uint64_t{1} << at % 64;
  }
  uint32_t rank = 0;
  for (size_t word = 0; word < words; ++word) {
    if (word % (kRankBits / 64) == 0) ranks_.push_back(rank);
    rank += static_cast<uint32_t>(std::popcount(pieces_[word]));
  }
  counts_.drop_begins();
  bytes_ = counts_.take_bytes();
}

}  // namespace trireme
