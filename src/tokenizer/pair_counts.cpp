#include "tokenizer/pair_counts.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kAhead = 16;       // places whose memory is asked for before they are looked at
constexpr size_t kPairPlaces = 24;  // places for which the rest of a pair's memory stands
constexpr size_t kMinSums = 1 << 8, kBytesASum = 16;
constexpr size_t kMinPairs = 1 << 6, kCountedShare = 20;  // of places: pairs that are counted
constexpr size_t kLevels = 3;

}  // namespace

void LengthLimit::add(std::string_view symbol) {
  if (max_ == 0) return;
  const auto goes_on = [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; };
  Extent extent{0, goes_on(symbol[0])};
  for (size_t i = 0; i < symbol.size(); ++i) extent.characters += i == 0 || !goes_on(symbol[i]) ? 1 : 0;
  extents_.push_back(extent);
}

size_t PairCounts::num_sums() const { return std::max(kMinSums, size_t{text_.size()} / kBytesASum); }

bool PairCounts::passes(const std::vector<PairFilter>& filters, SymbolPair pair) {
  return std::all_of(filters.begin(), filters.end(), [&](const PairFilter& filter) { return filter.allows(pair); });
}

PairCounts::PairCounts(SymbolText& text, const LengthLimit& limit, int64_t min_count, size_t max_places)
    : text_(text), limit_(limit), min_count_(std::max<int64_t>(min_count, 1)), max_places_(max_places) {}

std::optional<SymbolPair> PairCounts::best() {
  const std::optional<SymbolPair> pair = best_known();
  if (pair || floor_ <= min_count_) return pair;
  start_round();
  return best_known();
}

/// The best of those that are known to be the best of all.
std::optional<SymbolPair> PairCounts::best_known() {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    if (top.count < floor_) return std::nullopt;
    const PairEntry* found = table_.find(top.pair);
    const int64_t count = found == nullptr ? 0 : found->count;
    if (count == top.count) return top.pair;
    queue_.pop();
    if (count >= floor_) queue_.push({count, top.pair});
  }
  return std::nullopt;
}

void PairCounts::start_round() {
  ++rounds_;
  queue_ = {};
  places_ = {};
  const size_t most = max_places_ / 4 * 3;  // the rest is for pairs that merges make
  // Where pairs that share sums let none through that is frequent by itself, more are counted.
  for (size_t times = 1;; times *= 4) {
    if (!count_frequent(times * (most / 4 * 5 + 1), times * std::max(kMinPairs, max_places_ / kCountedShare))) continue;
    PlacesByCount places;
    for (const PairEntry& entry : table_.entries())
      places.add(static_cast<uint64_t>(entry.count), entry.places + kPairPlaces);
    floor_ = std::max(floor_, places.floor(most));
    table_.keep_if([&](const PairEntry& entry) { return entry.count >= floor_; });
    if (table_.size() > 0 || floor_ <= min_count_) break;
  }
  take_places();
}

/// Lets through the largest sums that together have at most so many places, and sets floor_, the least of them.
PairFilter PairCounts::sift(const std::vector<PairFilter>& filters, size_t max_places) {
  PairSums sums(PairFilter(num_sums(), filters.size()));
  text_.for_each_pair([&](uint32_t, SymbolPair pair, uint64_t count) {
    if (!skips(pair) && passes(filters, pair)) sums.add(pair, count);
  });
  floor_ = std::max(floor_, sums.floor(max_places, kPairPlaces));
  return std::move(sums).at_least(floor_);
}

/// Counts the pairs whose sums are among the largest that together have at most so many places; floor_ is then the
/// least of these sums. False where they are more than max_pairs even after kLevels of them.
bool PairCounts::count_frequent(size_t max_places, size_t max_pairs) {
  std::vector<PairFilter> filters;
  table_.clear();
  for (floor_ = min_count_; filters.size() < kLevels;) {
    filters.push_back(sift(filters, max_places));
    bool few = true;
    text_.for_each_pair([&](uint32_t, SymbolPair pair, uint64_t count) {
      if (!few || !passes(filters, pair) || skips(pair)) return;
      PairEntry& entry = table_.add(pair);
      entry.count += static_cast<int64_t>(count);
      ++entry.places;
      few = table_.size() <= max_pairs;
    });
    if (few) return true;
    table_.clear();
  }
  return false;
}

/// Those of the pairs in table_, whose numbers of places are known.
void PairCounts::take_places() {
  PairFilter known(num_sums(), 0);
  uint32_t begin = 0;
  for (PairEntry& entry : table_.entries()) {
    known.allow(known.index(entry.pair));
    entry.begin = std::exchange(begin, begin + std::exchange(entry.places, 0));
    queue_.push({entry.count, entry.pair});
  }
  places_.resize(begin);
  text_.for_each_pair([&](uint32_t place, SymbolPair pair, uint64_t) {
    if (!known.allows(pair)) return;
    PairEntry* entry = table_.find(pair);
    if (entry != nullptr) places_[entry->begin + entry->places++] = place;
  });
}

void PairCounts::merge(SymbolPair pair, int32_t product) {
  PairEntry& entry = *table_.find(pair);
  entry.count = 0;
  tallies_.resize(2 * (static_cast<size_t>(product) + 1));
  const uint32_t* places = places_.data() + entry.begin;
  for (size_t i = 0; i < entry.places; ++i) {
    if (i + kAhead < entry.places) text_.prefetch(places[i + kAhead]);
    merge_at(places[i], pair, product);
  }
  keep_fresh(pair, product);
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
    const auto symbol = text_.symbol(text_.previous(place), place);
    if (symbol == product) {  // merged just before
      tallies_[2 * static_cast<size_t>(left) + 1].count -= count;
      gain(2 * static_cast<size_t>(product) + 1, count);
    } else {
      lose(symbol_pair(symbol, left), count);
      gain(2 * static_cast<size_t>(symbol), count);
    }
  }
  if (!text_.begins_piece(end)) {
    const int32_t symbol = text_.symbol(end, text_.next(end));
    lose(symbol_pair(right, symbol), count);
    gain(2 * static_cast<size_t>(symbol) + 1, count);
  }
  text_.join(place, middle, end, product);
}

void PairCounts::lose(SymbolPair pair, int64_t count) {
  if (PairEntry* entry = table_.find(pair)) entry->count -= count;
}

void PairCounts::gain(size_t key, int64_t count) {
  Tally& tally = tallies_[key];
  if (tally.places++ == 0) fresh_.push_back(key);
  tally.count += count;
}

/// Puts those of the pairs that the merge made into the table that are frequent.
void PairCounts::keep_fresh(SymbolPair merged, int32_t product) {
  const auto pair_of = [&](size_t key) {
    const auto symbol = static_cast<int32_t>(key / 2);
    return key % 2 == 0 ? symbol_pair(symbol, product) : symbol_pair(product, symbol);
  };
  const auto kept = [&](size_t key) { return tallies_[key].count >= floor_ && !skips(pair_of(key)); };
  size_t room = 0;
  for (const size_t key : fresh_)
    if (kept(key)) room += tallies_[key].places + kPairPlaces;
  if (room_taken() + room > max_places_) make_room(room, merged);
  bool any = false;
  for (const size_t key : fresh_) {
    if (!kept(key)) continue;
    Tally& tally = tallies_[key];
    PairEntry& entry = table_.add(pair_of(key));
    entry.count = tally.count;
    entry.begin = static_cast<uint32_t>(places_.size());
    places_.resize(places_.size() + tally.places);
    tally.entry = static_cast<uint32_t>(table_.size());
    queue_.push({entry.count, entry.pair});
    any = true;
  }
  if (any) take_fresh_places(merged, product);
  for (const size_t key : fresh_) tallies_[key] = {};
  fresh_.clear();
  table_.find(merged)->places = 0;
}

void PairCounts::take_fresh_places(SymbolPair merged, int32_t product) {
  const auto take = [&](size_t key, uint32_t place) {
    if (tallies_[key].entry == 0) return;
    PairEntry& entry = table_.entries()[tallies_[key].entry - 1];
    places_[entry.begin + entry.places++] = place;
  };
  const PairEntry& of = *table_.find(merged);
  for (size_t i = of.begin; i < size_t{of.begin} + of.places; ++i) {
    const uint32_t place = places_[i];
    if (!text_.begins_symbol(place)) continue;
    const uint32_t end = text_.next(place);
    if (text_.symbol(place, end) != product) continue;
    if (!text_.begins_piece(place)) {
      const uint32_t before = text_.previous(place);
      const int32_t symbol = text_.symbol(before, place);
      if (symbol != product) take(2 * static_cast<size_t>(symbol), before);
    }
    if (!text_.begins_piece(end)) take(2 * static_cast<size_t>(text_.symbol(end, text_.next(end))) + 1, place);
  }
}

size_t PairCounts::room_taken() const { return places_.size() + kPairPlaces * table_.size(); }

/// Forgets pairs that cannot be merged in this round any more, and where they are few the rarest of the others.
void PairCounts::make_room(size_t places, SymbolPair merged) {
  compact(merged);
  if (room_taken() + places <= max_places_ / 4 * 3) return;
  PlacesByCount all;
  for (const PairEntry& entry : table_.entries())
    if (entry.count > 0) all.add(static_cast<uint64_t>(entry.count), entry.places + kPairPlaces);
  floor_ = std::max(floor_, all.floor(max_places_ / 2));
  compact(merged);
}

void PairCounts::compact(SymbolPair merged) {
  uint32_t end = 0;  // places lie in the order of the pairs
  table_.keep_if([&](PairEntry& entry) {
    if (entry.count < floor_ && entry.pair != merged) return false;
    std::copy_n(&places_[entry.begin], entry.places, &places_[end]);
    entry.begin = std::exchange(end, end + entry.places);
    return true;
  });
  places_.resize(end);
}

void PairCounts::drop(SymbolPair pair) {
  dropped_.insert(pair);
  *table_.find(pair) = {pair};
}

}  // namespace trireme
