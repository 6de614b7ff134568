// Which pairs may be frequent, found out in little memory: counts of all pairs added up by a hash of the pair, so that
// a sum is never below the count of a pair that it holds.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/paged_array.h"
#include "tokenizer/pair_table.h"

namespace trireme {

/// How many places pairs have, by groups of counts that differ by less than a 64th.
class PlacesByCount {
 public:
  PlacesByCount();
  void add(uint64_t count, size_t places);
  /// The smallest count whose pairs, with all more frequent ones, have at most so many places, or that of the most
  /// frequent alone.
  int64_t floor(size_t max_places) const;

 private:
  std::vector<size_t> places_;
};

/// Hashes of pairs that are let through.
class PairFilter {
 public:
  /// So many hashes, none let through; with another seed others.
  PairFilter(size_t size, uint64_t seed) : bits_(size), seed_(seed * 0x9FB21C651E98DF25) {}

  size_t size() const { return bits_.size(); }
  size_t index(SymbolPair pair) const { return (hash_of(pair ^ seed_) >> 32) * bits_.size() >> 32; }
  void allow(size_t index) { bits_[index] = true; }
  bool allows(SymbolPair pair) const { return bits_[index(pair)]; }

 private:
  std::vector<bool> bits_;  // small enough for the caches
  uint64_t seed_;
};

/// Counts and places of pairs by the hashes of a filter.
class PairSums {
 public:
  explicit PairSums(PairFilter filter) : filter_(std::move(filter)), sums_(filter_.size()) {}

  /// One more place of the pair, which counts `count` times.
  void add(SymbolPair pair, uint64_t count) {
    // A sum is added to a little later than it is asked for from memory.
    auto& oldest = waiting_[seen_++ % waiting_.size()];
    add_now(std::exchange(oldest, {filter_.index(pair), count}));
    __builtin_prefetch(&sums_[oldest.first], 1);
  }
  /// The smallest sum that, with all larger ones, has at most so many places; a sum itself counts as `sum_places`.
  int64_t floor(size_t max_places, size_t sum_places);
  /// Lets the pairs through whose sums are not below `floor`.
  PairFilter at_least(int64_t floor) &&;

 private:
  struct Sum {
    uint32_t count = 0;  // at its largest value: or more
    uint32_t places = 0;
  };
  using Seen = std::pair<size_t, uint64_t>;  // index and count; 0 where nothing waits

  void add_now(const Seen& seen) {
    if (seen.second == 0) return;
    Sum& sum = sums_[seen.first];
    sum.count =
        static_cast<uint32_t>(std::min<uint64_t>(sum.count + seen.second, std::numeric_limits<uint32_t>::max()));
    ++sum.places;
  }
  void add_waiting();

  PairFilter filter_;
  PagedArray<Sum> sums_;
  std::array<Seen, 16> waiting_{};
  size_t seen_ = 0;
};

}  // namespace trireme
