#include "tokenizer/pair_counts.h"

#include "base/numeric.h"

namespace trireme {

void PairCounts::add_word(const std::vector<int32_t>& ids, int64_t count) {
  words_.push_back({symbols_.size(), narrow<uint32_t>(ids.size()), count});
  symbols_.insert(symbols_.end(), ids.begin(), ids.end());
}

void PairCounts::count_pairs() {
  for (uint32_t w = 0; w < narrow<uint32_t>(words_.size()); ++w) {
    const int32_t* s = symbols_.data() + words_[w].begin;
    for (uint32_t i = 0; i + 1 < words_[w].length; ++i) change(symbol_pair(s[i], s[i + 1]), words_[w].count, w);
  }
  enqueue_fresh();
}

std::optional<SymbolPair> PairCounts::best(int64_t min_count) {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    const auto found = pairs_.find(top.pair);
    const int64_t count = found == pairs_.end() ? 0 : found->second.count;
    if (count == top.count && count >= min_count) return top.pair;
    queue_.pop();
    if (count >= min_count && count < top.count) queue_.push({count, top.pair});
  }
  return std::nullopt;
}

void PairCounts::merge(SymbolPair pair, int32_t product) {
  const std::vector<uint32_t> words = std::move(pairs_.at(pair).words);
  for (const uint32_t word : words) merge_word(word, pair, product);
  pairs_.erase(pair);
  enqueue_fresh();
}

void PairCounts::enqueue_fresh() {
  for (const SymbolPair pair : fresh_) queue_.push({pairs_.at(pair).count, pair});
  fresh_.clear();
}

void PairCounts::merge_word(uint32_t word, SymbolPair pair, int32_t product) {
  const auto left = static_cast<int32_t>(pair >> 32);
  const auto right = static_cast<int32_t>(pair & 0xFFFFFFFF);
  int32_t* s = symbols_.data() + words_[word].begin;
  const int64_t count = words_[word].count;
  const uint32_t n = words_[word].length;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n;) {
    if (i + 1 >= n || s[i] != left || s[i + 1] != right) {
      s[kept++] = s[i++];
      continue;
    }
    if (kept > 0) {
      change(symbol_pair(s[kept - 1], left), -count, word);
      change(symbol_pair(s[kept - 1], product), count, word);
    }
    if (i + 2 < n) {
      change(symbol_pair(right, s[i + 2]), -count, word);
      change(symbol_pair(product, s[i + 2]), count, word);
    }
    s[kept++] = product;
    i += 2;
  }
  words_[word].length = kept;
}

void PairCounts::change(SymbolPair pair, int64_t delta, uint32_t word) {
  const auto [found, fresh] = pairs_.try_emplace(pair);
  if (fresh) fresh_.push_back(pair);
  Pair& entry = found->second;
  entry.count += delta;
  if (delta > 0 && (entry.words.empty() || entry.words.back() != word)) entry.words.push_back(word);
}

}  // namespace trireme
