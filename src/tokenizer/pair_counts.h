// Which pair of neighbouring symbols is the most frequent, and where it stands. Places are kept only of pairs that
// occur at least `floor_` times, as many as memory is allowed; pairs that are rarer cannot be merged before those. When
// no pair that frequent is left, a new round over the text finds the next ones: a first pass adds up counts by a hash
// of the pair, which is never too low; a second one counts the pairs that this lets through, after another of the first
// kind where they are many; the last takes the places of those that are frequent. A merge changes no other pairs than
// those beside it, so counts stay exact between rounds, and the merges are those of a full index.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tokenizer/pair_sums.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/symbol_text.h"

namespace trireme {

/// How many characters symbols touch, and whether the product of two would touch too many.
class LengthLimit {
 public:
  /// 0: none.
  explicit LengthLimit(int64_t max_characters) : max_(max_characters) {}
  /// The next id's bytes.
  void add(std::string_view symbol);
  bool allows(SymbolPair pair) const {
    if (max_ == 0) return true;
    const Extent left = extents_[pair >> 32], right = extents_[pair & UINT32_MAX];
    return left.characters + right.characters - (right.goes_on ? 1 : 0) <= max_;
  }

 private:
  struct Extent {
    int64_t characters = 0;
    bool goes_on = false;  // its first byte is not the first of its character
  };
  int64_t max_;
  std::vector<Extent> extents_;
};

class PairCounts {
 public:
  /// Keeps about `max_places` places of pairs, of 4 bytes; a pair itself counts as some. `text` and `limit` must
  /// outlive it; pairs that the limit does not allow are passed over.
  PairCounts(SymbolText& text, const LengthLimit& limit, int64_t min_count, size_t max_places);

  /// The most frequent pair that occurs at least min_count times; of equals the smallest.
  std::optional<SymbolPair> best();
  /// Replaces the pair, which must be the best, everywhere by `product`, an id that was not used before.
  void merge(SymbolPair pair, int32_t product);
  /// Forgets the pair: it is never the best again.
  void drop(SymbolPair pair);

  int64_t rounds() const { return rounds_; }

 private:
  struct Candidate {
    int64_t count;
    SymbolPair pair;
    bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : pair > o.pair; }
  };
  /// Of a pair that the merge at hand makes.
  struct Tally {
    int64_t count = 0;
    uint32_t places = 0;  // at most
    uint32_t entry = 0;   // its number in table_ + 1; 0: none
  };

  std::optional<SymbolPair> best_known();
  void start_round();
  size_t num_sums() const;
  static bool passes(const std::vector<PairFilter>& filters, SymbolPair pair);
  PairFilter sift(const std::vector<PairFilter>& filters, size_t max_places);
  bool count_frequent(size_t max_places, size_t max_pairs);
  void take_places();
  void merge_at(uint32_t place, SymbolPair pair, int32_t product);
  void lose(SymbolPair pair, int64_t count);
  void gain(size_t key, int64_t count);
  void keep_fresh(SymbolPair merged, int32_t product);
  void take_fresh_places(SymbolPair merged, int32_t product);
  void make_room(size_t places, SymbolPair merged);
  void compact(SymbolPair merged);
  size_t room_taken() const;
  bool skips(SymbolPair pair) const { return !limit_.allows(pair) || (!dropped_.empty() && dropped_.count(pair) > 0); }

  SymbolText& text_;
  const LengthLimit& limit_;
  int64_t min_count_, floor_ = INT64_MAX, rounds_ = 0;
  size_t max_places_;
  PairTable table_;              // all pairs that occur floor_ times or more, and some others
  PagedArray<uint32_t> places_;  // of their left symbols, rising for each pair; some may have lost the pair since
  std::unordered_set<SymbolPair> dropped_;
  std::vector<Tally> tallies_;            // 2 x: of symbol x before the product; 2 x + 1: behind it, also the product
  std::vector<size_t> fresh_;             // tallies that the merge at hand uses
  std::priority_queue<Candidate> queue_;  // each pair once; only fresh pairs gain, so counts are never too low
};

}  // namespace trireme
