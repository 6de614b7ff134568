// Byte-pair merging of one piece of text (Sennrich et al. 2016, on bytes as in GPT-2 or on characters): while some
// pair of neighbours has a merge, apply the one of lowest rank, the leftmost among equals. Short pieces are scanned
// for it, long ones keep a heap, so that a piece of n bytes costs at most n log n.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/char_starts.h"
#include "tokenizer/spec.h"

namespace trireme {

/// Where a pair of ids leads: rank << 32 | product, so that comparing links compares ranks.
using Link = uint64_t;
inline constexpr Link kNoLink = ~Link{0};

/// Links by pair of ids: open addressing, at most half full. Most pairs that are asked for have none; a filter of a bit
/// a hash, which stays in a core's own cache where the table does not, answers for nearly all of those.
class MergeTable {
 public:
  /// A merge's rank is its index, or where `ranks` are given, what they say; merges may share one.
  explicit MergeTable(const std::vector<Merge>& merges, const std::vector<uint32_t>& ranks = {});

  Link find(int32_t left, int32_t right) const {
    const uint64_t key = pair_key(left, right);
    const uint64_t bit = (key * kMix) >> filter_shift_;
    if ((filter_[bit / 64] >> (bit % 64) & 1) == 0) return kNoLink;
    for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].link;
      if (slots_[i].link == kNoLink) return kNoLink;
    }
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Link link = kNoLink;
  };

  static uint64_t pair_key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  static constexpr uint64_t kMix = 0x9E3779B97F4A7C15;
  size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * kMix) >> shift_); }

  std::vector<Slot> slots_;
  std::vector<uint64_t> filter_;
  size_t mask_;
  int shift_, filter_shift_;
};

/// Ids by the bytes of their token: open addressing, at most half full.
class TokenTable {
 public:
  explicit TokenTable(size_t capacity);

  bool empty() const { return empty_; }
  /// `token` must stay where it is. Of two equal tokens the first stays.
  void add(std::string_view token, int32_t id);
  /// The id, or -1.
  int32_t find(std::string_view token) const;

 private:
  struct Slot {
    std::string_view token;
    uint32_t hash = 0;
    int32_t id = -1;
  };
  size_t index_of(std::string_view token, uint32_t hash) const;

  std::vector<Slot> slots_;
  bool empty_ = true;
};

/// Working memory of Bpe::apply, kept by the caller so that no piece allocates.
struct BpeScratch {
  struct Node {
    int32_t id;
    uint32_t previous, next;
    Link link;  // of this node and the next one
  };
  std::vector<int32_t> ids;
  std::vector<Node> nodes;
  std::vector<uint64_t> heap;  // rank << 32 | index of the left node
};

class Bpe {
 public:
  /// `spec` must live as long, though it may be moved.
  explicit Bpe(const TokenizerSpec& spec);

  /// Appends the ids of `piece` (shorter than 4 GiB) to `out`.
  void apply(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const;

 private:
  void merge(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const;
  void add_unreachable(const std::vector<std::string>& vocabulary, const std::vector<char>& found);
  size_t byte_symbols(std::vector<int32_t>& ids, std::string_view piece) const;
  size_t character_symbols(std::vector<int32_t>& ids, std::string_view piece) const;
  bool append_fallback(std::vector<int32_t>& ids, std::string_view symbol) const;
  void apply_bytes(std::vector<int32_t>& out, std::string_view piece) const;
  void apply_short(std::vector<int32_t>& out, size_t n, BpeScratch& scratch) const;
  void merge_short(std::vector<int32_t>& out, int32_t* ids, Link* links, size_t n) const;
  void merge_long(std::vector<int32_t>& out, size_t count, BpeScratch& scratch) const;

  bool byte_level_, byte_fallback_, fuse_unk_;
  int32_t unk_;
  std::string prefix_, suffix_;
  std::array<int32_t, 256>
      byte_ids_{};  // of single bytes, or where symbols are characters of <0x00> to <0xFF>; -1: none
  MergeTable merges_;
  CharStarts char_starts_;
  std::vector<Link> byte_links_;  // by left byte << 8 | right byte; empty unless each byte is a symbol with a token
  TokenTable vocabulary_;         // where symbols are characters
  TokenTable unreachable_;        // tokens that the merges make otherwise, where they are to be ignored
};

}  // namespace trireme
