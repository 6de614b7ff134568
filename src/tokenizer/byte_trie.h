// A set of byte strings with a value each, walked byte by byte: vocabularies and dictionaries. A double array (Aoe
// 1989): the child of a node by a byte is one cell, found by one exclusive or and proved by the parent noted in it.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

class ByteTrie {
 public:
  static constexpr int32_t kNoValue = -1;
  static constexpr uint32_t kRoot = 0;

  ByteTrie() : cells_(kBlock) {}
  /// Entries in any order, none empty, values not negative; of equal strings the last counts. The views need to live
  /// through the call only.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  /// The node behind `node` by `byte`, or kRoot where there is none.
  uint32_t child(uint32_t node, char byte) const {
    const uint32_t at = cells_[node].base ^ static_cast<uint8_t>(byte);
    return cells_[at].parent == node && at != kRoot ? at : kRoot;
  }
  /// The value of the string that ends at `node`, or kNoValue.
  int32_t value(uint32_t node) const { return cells_[node].value; }

  struct Match {
    size_t length = 0;  // 0: none
    int32_t value = kNoValue;
  };
  /// The longest entry that `text` starts with.
  Match longest(std::string_view text) const;

 private:
  static constexpr uint32_t kBlock = 256;  // base ^ byte stays within a block, so no look-up leaves the array
  static constexpr uint32_t kFree = ~uint32_t{0};

  struct Cell {
    uint32_t base = 0;
    uint32_t parent = kFree;
    int32_t value = kNoValue;
  };
  class Builder;

  std::vector<Cell> cells_;
};

}  // namespace trireme
