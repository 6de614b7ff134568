#include "tokenizer/pair_counts.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kAhead = 16;       // places whose memory is asked for before they are looked at
constexpr size_t kPairPlaces = 24;  // places for which the rest of a pair's memory stands
constexpr int kMantissaBits = 6;    // of a histogram of counts
constexpr size_t kMinSums = 1 << 16, kMaxSums = 1 << 25;

uint64_t mixed(SymbolPair pair) {
  pair *= 0x9E3779B97F4A7C15;
  return pair ^ pair >> 32;
}

/// Groups of counts that differ by less than a 64th, rising; and the smallest of a group.
size_t group_of(uint32_t count) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(count)) - 1 - kMantissaBits);
  return (static_cast<size_t>(shift) << kMantissaBits) + (count >> shift);
}
int64_t smallest_of(size_t group) {
  const size_t shift = group < size_t{2} << kMantissaBits ? 0 : (group >> kMantissaBits) - 1;
  return static_cast<int64_t>((group - (shift << kMantissaBits)) << shift);
}

}  // namespace

void LengthLimit::add(std::string_view symbol) {
  if (max_ == 0) return;
  const auto goes_on = [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; };
  Extent extent{0, goes_on(symbol[0])};
  for (size_t i = 0; i < symbol.size(); ++i) extent.characters += i == 0 || !goes_on(symbol[i]) ? 1 : 0;
  extents_.push_back(extent);
}

PairCounts::PairCounts(SymbolText& text, const LengthLimit& limit, int64_t min_count, size_t max_places)
    : text_(text), limit_(limit), min_count_(std::max<int64_t>(min_count, 1)), max_places_(max_places) {}

std::optional<SymbolPair> PairCounts::best() {
  const bool crowded = num_places_ > most_places_;
  if (!crowded) {
    const std::optional<SymbolPair> pair = best_known();
    if (pair || floor_ <= min_count_) return pair;
  }
  start_round();
  return best_known();
}

/// The best of those that are known to be the best of all.
std::optional<SymbolPair> PairCounts::best_known() {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    if (top.count < floor_) return std::nullopt;
    const auto found = pairs_.find(top.pair);
    const int64_t count = found == pairs_.end() ? 0 : found->second.count;
    if (count == top.count) return top.pair;
    queue_.pop();
    if (count >= floor_) queue_.push({count, top.pair});
  }
  return std::nullopt;
}

void PairCounts::start_round() {
  // Where pairs that share a hash let none through that is frequent by itself, more places are taken.
  for (size_t max_places = max_places_;; max_places *= 2) {
    fill(max_places);
    if (floor_ <= min_count_ || best_known()) break;
  }
  most_places_ = std::max(max_places_, num_places_) / 4 * 5;
}

void PairCounts::fill(size_t max_places) {
  ++rounds_;
  pairs_ = {};
  queue_ = {};
  num_places_ = 0;
  std::vector<Sum> sums(std::clamp(std::bit_ceil(size_t{text_.size()} / 64), kMinSums, kMaxSums));
  const uint64_t mask = sums.size() - 1;
  const auto add = [&](const std::pair<uint64_t, uint64_t>& seen) {
    Sum& sum = sums[seen.first];
    sum.count =
        static_cast<uint32_t>(std::min<uint64_t>(sum.count + seen.second, std::numeric_limits<uint32_t>::max()));
    ++sum.places;
  };
  // Sums are added to a little later than they are asked for from memory.
  std::array<std::pair<uint64_t, uint64_t>, kAhead> waiting;
  size_t seen = 0;
  text_.for_each_pair([&](uint32_t, SymbolPair pair, uint64_t count) {
    if (skips(pair)) return;
    auto& oldest = waiting[seen % kAhead];
    if (seen++ >= kAhead) add(oldest);
    oldest = {mixed(pair) & mask, count};
    __builtin_prefetch(&sums[oldest.first], 1);
  });
  for (size_t i = 0; i < std::min(seen, kAhead); ++i) add(waiting[i]);

  floor_ = choose_floor(sums, max_places);
  std::vector<bool> frequent(sums.size());  // small enough for the caches
  for (size_t i = 0; i < sums.size(); ++i) frequent[i] = sums[i].count >= floor_;
  text_.for_each_pair([&](uint32_t place, SymbolPair pair, uint64_t count) {
    const uint64_t hash = mixed(pair) & mask;
    if (!frequent[hash] || skips(pair)) return;
    const auto [found, fresh] = pairs_.try_emplace(pair);
    Pair& entry = found->second;
    if (fresh) entry.places.reserve(sums[hash].places);
    entry.count += static_cast<int64_t>(count);
    entry.places.push_back(place);
    ++num_places_;
  });
  num_places_ += kPairPlaces * pairs_.size();
  for (const auto& [pair, entry] : pairs_)
    if (entry.count >= floor_) queue_.push({entry.count, pair});
}

/// The smallest count whose pairs, with all more frequent ones, have few enough places.
int64_t PairCounts::choose_floor(const std::vector<Sum>& sums, size_t max_places) const {
  std::vector<size_t> places(group_of(std::numeric_limits<uint32_t>::max()) + 1);
  for (const Sum& sum : sums) places[group_of(sum.count)] += sum.places + kPairPlaces;
  size_t taken = 0, group = places.size();
  while (group > 1 && (taken == 0 || taken + places[group - 1] <= max_places)) taken += places[--group];
  return std::max(min_count_, smallest_of(group));
}

void PairCounts::merge(SymbolPair pair, int32_t product) {
  const std::vector<uint32_t> places = std::move(pairs_.at(pair).places);
  for (size_t i = 0; i < places.size(); ++i) {
    if (i + kAhead < places.size()) text_.prefetch(places[i + kAhead]);
    merge_at(places[i], pair, product);
  }
  num_places_ -= places.size() + kPairPlaces;
  pairs_.erase(pair);
  for (const SymbolPair fresh : std::exchange(fresh_, {})) {
    const auto entry = pairs_.find(fresh);
    if (entry->second.count < floor_) {
      pairs_.erase(entry);
      continue;
    }
    num_places_ += entry->second.places.size() + kPairPlaces;
    queue_.push({entry->second.count, fresh});
  }
}

void PairCounts::drop(SymbolPair pair) {
  dropped_.insert(pair);
  const auto entry = pairs_.find(pair);
  num_places_ -= entry->second.places.size() + kPairPlaces;
  pairs_.erase(entry);
}

void PairCounts::merge_at(uint32_t place, SymbolPair pair, int32_t product) {
  if (!text_.begins_symbol(place)) return;
  const auto left = static_cast<int32_t>(pair >> 32), right = static_cast<int32_t>(pair & UINT32_MAX);
  const uint32_t middle = text_.next(place);
  if (text_.begins_piece(middle) || text_.symbol(place, middle) != left) return;
  const uint32_t end = text_.next(middle);
  if (text_.symbol(middle, end) != right) return;
  const auto count = static_cast<int64_t>(text_.count(place));
  if (!text_.begins_piece(place)) {
    const uint32_t before = text_.previous(place);
    const int32_t symbol = text_.symbol(before, place);
    lose(symbol_pair(symbol, left), count);
    gain(symbol_pair(symbol, product), count, before);
  }
  if (!text_.begins_piece(end)) {
    const int32_t symbol = text_.symbol(end, text_.next(end));
    lose(symbol_pair(right, symbol), count);
    gain(symbol_pair(product, symbol), count, place);
  }
  text_.join(place, middle, end, product);
}

void PairCounts::lose(SymbolPair pair, int64_t count) {
  if (const auto entry = pairs_.find(pair); entry != pairs_.end()) entry->second.count -= count;
}

void PairCounts::gain(SymbolPair pair, int64_t count, uint32_t place) {
  if (skips(pair)) return;
  const auto [entry, fresh] = pairs_.try_emplace(pair);
  if (fresh) fresh_.push_back(pair);
  entry->second.count += count;
  entry->second.places.push_back(place);
}

}  // namespace trireme
