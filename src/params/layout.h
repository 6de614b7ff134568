// Where parameters lie in memory: each unit is one flat run of elements, so that a unit is gathered, reduced
// and updated as a whole, and a ZeRO shard is a plain range of it. Parameters, gradients and optimizer state share
// this layout.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "comm/group.h"
#include "params/spec.h"

namespace trireme {

struct ParamPlace {
  Param* param;
  int64_t offset;  // first element in the unit's flat run
};

struct UnitLayout {
  std::vector<ParamPlace> places;  // first those whose gradients are products (ParamSpec::grad_is_product)
  int64_t products = 0;            // elements of those
  int64_t numel = 0;               // padded, so that every rank with the same parameters gets an equal, aligned part
  std::vector<int> needs;          // units whose memory this one's parameters lie in: itself, and owners of tied ones
};

/// Units [first, last) of a model's list.
struct UnitRange {
  int first = 0, last = 0;
  bool contains(int unit) const { return first <= unit && unit < last; }
};

struct ModelLayout {
  std::vector<UnitLayout> units;  // by unit index; those of other pipeline stages are empty
  int rank = 0, num_ranks = 1;    // among those that hold the same parameters
  int zero_stage = 0;             // 1: optimizer state sharded, 2: gradients too, 3: parameters too

  /// Lays out the units of `table` that this rank holds. A tied parameter whose owner is among them takes no room.
  /// `replicas`: the ranks that hold the same parameters, Groups::dp_cp.
  ModelLayout(ParamTable& table, int num_units, const std::vector<UnitRange>& held, const Group& replicas,
              int zero_stage);

  /// The part of unit `u` this rank keeps and updates.
  FlatRange shard(int u) const;
  /// The part whose optimizer state this rank holds: the shard under ZeRO, else the whole.
  FlatRange optimizer_range(int u) const;
  int64_t largest_unit() const;
};

/// Calls fn(param, first element within it, first element in the flat run, count) for each parameter that `range`
/// touches.
void for_each_piece(const UnitLayout& unit, FlatRange range, FunctionRef<void(Param&, int64_t, int64_t, int64_t)> fn);
/// The same of the elements for which this rank stands among the tensor ranks (Param::own).
void for_each_own_piece(const UnitLayout& unit, FlatRange range,
                        FunctionRef<void(Param&, int64_t, int64_t, int64_t)> fn);

}  // namespace trireme
