#include "params/layout.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/state_codes.h"

namespace trireme {
namespace {
/// Elements: a cut between two ranks never parts a block of 8-bit moments, so that how they round does not depend on
/// it.
constexpr int64_t kPlaceAlignment = kCodeBlock;
}  // namespace

ModelLayout::ModelLayout(ParamTable& table, int num_units, const std::vector<UnitRange>& held, const Group& replicas,
                         int stage)
    : units(static_cast<size_t>(num_units)), rank(replicas.rank()), num_ranks(replicas.size()), zero_stage(stage) {
  const auto holds = [&](int unit) {
    return std::any_of(held.begin(), held.end(), [&](const UnitRange& range) { return range.contains(unit); });
  };
  for (Param& param : table) {
    const int unit = param.spec.unit;
    if (!holds(unit)) continue;
    UnitLayout& layout = units[static_cast<size_t>(unit)];
    if (layout.needs.empty()) layout.needs.push_back(unit);
    const int owner = tie_owner(table, param).spec.unit;
    if (!param.spec.tied_to.empty() && holds(owner)) {
      if (std::find(layout.needs.begin(), layout.needs.end(), owner) == layout.needs.end())
        layout.needs.push_back(owner);
      continue;
    }
    layout.places.push_back({&param, 0});
  }
  for (UnitLayout& layout : units) {
    const auto is_product = [](const ParamPlace& place) { return place.param->spec.grad_is_product; };
    std::stable_partition(layout.places.begin(), layout.places.end(), is_product);
    for (ParamPlace& place : layout.places) {
      place.offset = layout.numel;
      layout.numel += round_up(place.param->local_shape.numel(), kPlaceAlignment);
      if (is_product(place)) layout.products = layout.numel;
    }
    layout.numel = round_up(layout.numel, kPlaceAlignment * num_ranks);
  }
}

FlatRange ModelLayout::shard(int u) const {
  const int64_t part = units[static_cast<size_t>(u)].numel / num_ranks;
  return {part * rank, part * (rank + 1)};
}

FlatRange ModelLayout::optimizer_range(int u) const {
  return zero_stage >= 1 ? shard(u) : FlatRange{0, units[static_cast<size_t>(u)].numel};
}

int64_t ModelLayout::largest_unit() const {
  int64_t largest = 0;
  for (const UnitLayout& unit : units) largest = std::max(largest, unit.numel);
  return largest;
}

void for_each_piece(const UnitLayout& unit, FlatRange range, FunctionRef<void(Param&, int64_t, int64_t, int64_t)> fn) {
  for (const ParamPlace& place : unit.places) {
    const int64_t begin = std::max(range.begin, place.offset);
    const int64_t end = std::min(range.end, place.offset + place.param->local_shape.numel());
    if (begin < end) fn(*place.param, begin - place.offset, begin, end - begin);
  }
}

void for_each_own_piece(const UnitLayout& unit, FlatRange range,
                        FunctionRef<void(Param&, int64_t, int64_t, int64_t)> fn) {
  for_each_piece(unit, range, [&](Param& param, int64_t first, int64_t flat, int64_t n) {
    for (const FlatRange& own : param.own) {
      const int64_t begin = std::max(own.begin, first), end = std::min(own.end, first + n);
      if (begin < end) fn(param, begin, flat + begin - first, end - begin);
    }
  });
}

}  // namespace trireme
