// The corpus of a BPE trainer as symbols: distinct pieces with their counts, and for each pair of neighbours
// how often it occurs and in which pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme {

using SymbolPair = uint64_t;  // left id << 32 | right id
inline SymbolPair symbol_pair(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

class PairCounts {
 public:
  /// Adds a piece, as ids of its bytes, that occurs `count` times.
  void add_word(const std::vector<int32_t>& ids, int64_t count);
  /// To be called once, after the last word.
  void count_pairs();

  /// The most frequent pair that occurs at least `min_count` times; of equals the smallest.
  std::optional<SymbolPair> best(int64_t min_count);
  /// Replaces the pair everywhere by `product`, an id that was not used before.
  void merge(SymbolPair pair, int32_t product);
  /// Forgets the pair: it is never the best again.
  void drop(SymbolPair pair) { pairs_.erase(pair); }

 private:
  struct Word {
    size_t begin;
    uint32_t length;
    int64_t count;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  // a superset: pieces may have lost the pair since
  };
  struct Candidate {
    int64_t count;
    SymbolPair pair;
    bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : pair > o.pair; }
  };

  void merge_word(uint32_t word, SymbolPair pair, int32_t product);
  void change(SymbolPair pair, int64_t delta, uint32_t word);
  void enqueue_fresh();

  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<SymbolPair, Pair> pairs_;
  std::vector<SymbolPair> fresh_;         // not in the queue yet
  std::priority_queue<Candidate> queue_;  // each pair once; only fresh pairs gain, so counts are never too low
};

}  // namespace trireme
