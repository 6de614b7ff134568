// Pairs of symbols and what is known of them, one behind the other in the order in which they were added, and an open
// table of 32-bit numbers that finds them: 24 bytes a pair, and 6 to 12 in the table.
#pragma once

#include <cstdint>

#include "base/paged_array.h"
#include "tokenizer/symbol_text.h"

namespace trireme {

inline uint64_t hash_of(SymbolPair pair) {
  pair *= 0x9E3779B97F4A7C15;
  return pair ^ pair >> 32;
}

struct PairEntry {
  SymbolPair pair = 0;
  int64_t count = 0;
  uint32_t begin = 0, places = 0;  // of its places, in a list of all pairs' places
};

class PairTable {
 public:
  /// Null where the pair was never added, or not kept.
  PairEntry* find(SymbolPair pair) {
    for (uint64_t at = hash_of(pair);; ++at) {
      const uint32_t number = slots_[at & mask()];
      if (number == 0) return nullptr;
      if (entries_[number - 1].pair == pair) return &entries_[number - 1];
    }
  }
  /// The entry of the pair, a new one behind all others where there is none.
  PairEntry& add(SymbolPair pair) {
    if (PairEntry* found = find(pair)) return *found;
    if (10 * entries_.size() > 6 * slots_.size()) spread(2 * slots_.size());
    entries_.push_back({pair});
    put(static_cast<uint32_t>(entries_.size()));
    return entries_.back();
  }
  /// Calls keep(entry) for all in order; drops those for which it is false. The others stay in order.
  template <class F>
  void keep_if(F keep) {
    size_t kept = 0;
    for (size_t i = 0; i < entries_.size(); ++i)
      if (keep(entries_[i])) entries_[kept++] = entries_[i];
    entries_.resize(kept);
    spread(slots_.size());
  }
  /// Forgets all pairs and gives their memory back.
  void clear() {
    entries_ = {};
    spread(kMinSlots);
  }

  size_t size() const { return entries_.size(); }
  PagedArray<PairEntry>& entries() { return entries_; }
  const PagedArray<PairEntry>& entries() const { return entries_; }

 private:
  static constexpr size_t kMinSlots = 1 << 12;

  uint64_t mask() const { return slots_.size() - 1; }
  void put(uint32_t number) {
    uint64_t at = hash_of(entries_[number - 1].pair);
    while (slots_[at & mask()] != 0) ++at;
    slots_[at & mask()] = number;
  }
  void spread(size_t slots) {
    slots_ = {};  // before the new ones are there
    slots_.resize(slots);
    for (uint32_t i = 1; i <= entries_.size(); ++i) put(i);
  }

  PagedArray<PairEntry> entries_;
  PagedArray<uint32_t> slots_{kMinSlots};  // number of an entry + 1; 0: free
};

}  // namespace trireme
