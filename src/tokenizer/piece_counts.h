// The distinct pieces of a corpus, back to back, and how often each occurs. A piece costs its bytes and about 20 more,
// because a corpus of Chinese has nearly as many pieces as clauses.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "base/paged_array.h"

namespace trireme {

class PieceCounts {
 public:
  static constexpr uint64_t kMaxBytes = UINT32_MAX;

  /// Counts one more of `piece`. ConfigError where the distinct pieces would take more than kMaxBytes.
  void add(std::string_view piece);

  uint32_t size() const { return static_cast<uint32_t>(begins_.size()); }
  uint64_t count(uint32_t piece) const { return counts_[piece] + (carries_.empty() ? 0 : carried(piece)); }
  /// The bytes of all pieces, and where piece i begins in them.
  const PagedArray<char>& bytes() const { return bytes_; }
  uint32_t begin(uint32_t piece) const {
    return piece < begins_.size() ? begins_[piece] : static_cast<uint32_t>(bytes_.size());
  }
  /// What finds pieces; nothing can be added afterwards.
  void drop_table() { slots_ = {}; }
  PagedArray<char> take_bytes() { return std::move(bytes_); }
  void drop_begins() { begins_ = {}; }

 private:
  std::string_view piece(uint32_t i) const { return {bytes_.data() + begin(i), begin(i + 1) - begin(i)}; }
  uint64_t carried(uint32_t piece) const;
  void grow();

  PagedArray<char> bytes_;
  PagedArray<uint32_t> begins_, counts_;            // of each piece
  std::unordered_map<uint32_t, uint64_t> carries_;  // by how many times 2^32 a count has gone over
  PagedArray<uint32_t> slots_{1 << 12};             // open addressing: number of a piece + 1; 0: free
};

}  // namespace trireme
