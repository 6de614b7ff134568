// Byte-pair merging of one piece of text (Sennrich et al. 2016, on bytes as in GPT-2): while some pair of
// neighbours has a merge, apply the one of lowest rank, the leftmost among equals. Short pieces are scanned
// for it, long ones keep a heap, so that a piece of n bytes costs at most n log n.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/spec.h"

namespace trireme {

/// Where a pair of ids leads: rank << 32 | product, so that comparing links compares ranks.
using Link = uint64_t;
inline constexpr Link kNoLink = ~Link{0};

/// Links by pair of ids: open addressing, at most half full.
class MergeTable {
 public:
  explicit MergeTable(const std::vector<Merge>& merges);

  Link find(int32_t left, int32_t right) const {
    const uint64_t key = pair_key(left, right);
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
  size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_); }

  std::vector<Slot> slots_;
  size_t mask_;
  int shift_;
};

/// Working memory of Bpe::apply, kept by the caller so that no piece allocates.
struct BpeScratch {
  struct Node {
    int32_t id;
    uint32_t previous, next;
    Link link;  // of this node and the next one
  };
  std::vector<int32_t> ids;
  std::vector<Link> links;
  std::vector<Node> nodes;
  std::vector<uint64_t> heap;  // rank << 32 | index of the left node
};

class Bpe {
 public:
  explicit Bpe(const TokenizerSpec& spec);

  /// Appends the ids of `piece` (not empty, shorter than 4 GiB) to `out`.
  void apply(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const;

 private:
  void apply_short(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const;
  void apply_long(std::vector<int32_t>& out, std::string_view piece, BpeScratch& scratch) const;

  std::array<int32_t, 256> byte_ids_{};
  MergeTable merges_;
};

}  // namespace trireme
