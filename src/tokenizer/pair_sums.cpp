#include "tokenizer/pair_sums.h"

#include <algorithm>
#include <bit>

namespace trireme {
namespace {

constexpr int kMantissaBits = 6;
constexpr uint32_t kMaxCount = std::numeric_limits<uint32_t>::max();

/// The group of a count, rising with it; and the smallest count of a group.
size_t group_of(uint32_t count) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(count)) - 1 - kMantissaBits);
  return (static_cast<size_t>(shift) << kMantissaBits) + (count >> shift);
}
int64_t smallest_of(size_t group) {
  const size_t shift = group < size_t{2} << kMantissaBits ? 0 : (group >> kMantissaBits) - 1;
  return static_cast<int64_t>((group - (shift << kMantissaBits)) << shift);
}

}  // namespace

PlacesByCount::PlacesByCount() : places_(group_of(kMaxCount) + 1) {}

void PlacesByCount::add(uint64_t count, size_t places) {
  places_[group_of(static_cast<uint32_t>(std::min<uint64_t>(count, kMaxCount)))] += places;
}

int64_t PlacesByCount::floor(size_t max_places) const {
  size_t taken = 0, group = places_.size();
  while (group > 1 && (taken == 0 || taken + places_[group - 1] <= max_places)) taken += places_[--group];
  return smallest_of(group);
}

void PairSums::add_waiting() {
  for (Seen& seen : waiting_) add_now(std::exchange(seen, {}));
}

int64_t PairSums::floor(size_t max_places, size_t sum_places) {
  add_waiting();
  PlacesByCount places;
  for (const Sum& sum : sums_) places.add(sum.count, sum.places + sum_places);
  return places.floor(max_places);
}

PairFilter PairSums::at_least(int64_t floor) && {
  add_waiting();
  for (size_t i = 0; i < sums_.size(); ++i)
    if (sums_[i].count >= floor) filter_.allow(i);
  return std::move(filter_);
}

}  // namespace trireme
