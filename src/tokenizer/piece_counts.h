// The distinct pieces of a corpus, back to back, and how often each occurs. A piece costs its bytes and about 20 more,
// because a corpus of Chinese has nearly as many pieces as clauses.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme {

/// Bytes that grow at their end. Large blocks are moved by the C library without a second copy in memory.
class GrowingBytes {
 public:
  size_t size() const { return size_; }
  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  void append(std::string_view bytes);

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  size_t size_ = 0, capacity_ = 0;
};

class PieceCounts {
 public:
  static constexpr uint64_t kMaxBytes = UINT32_MAX;

  /// Counts one more of `piece`. ConfigError where the distinct pieces would take more than kMaxBytes.
  void add(std::string_view piece);

  uint32_t size() const { return static_cast<uint32_t>(begins_.size()); }
  uint64_t count(uint32_t piece) const { return counts_[piece] + (carries_.empty() ? 0 : carried(piece)); }
  /// The bytes of all pieces, and where piece i begins in them.
  const GrowingBytes& bytes() const { return bytes_; }
  uint32_t begin(uint32_t piece) const {
    return piece < begins_.size() ? begins_[piece] : static_cast<uint32_t>(bytes_.size());
  }
  /// What finds pieces; nothing can be added afterwards.
  void drop_table() { slots_ = {}; }
  GrowingBytes take_bytes() { return std::move(bytes_); }
  void drop_begins() { begins_ = {}; }

 private:
  std::string_view piece(uint32_t i) const { return {bytes_.data() + begin(i), begin(i + 1) - begin(i)}; }
  uint64_t carried(uint32_t piece) const;
  void grow();

  GrowingBytes bytes_;
  std::vector<uint32_t> begins_, counts_;                         // of each piece
  std::unordered_map<uint32_t, uint64_t> carries_;                // by how many times 2^32 a count has gone over
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(1 << 12);  // open addressing: number of a piece + 1; 0: free
};

}  // namespace trireme
