#include "params/grad_store.h"

#include <algorithm>

#include "base/failpoint.h"
#include "ops/basic.h"

namespace trireme {
namespace {

/// Of the chunk that such rows are part of.
Shape whole_shape(const Param& param, const SharedRows& shared) {
  Shape shape = param.local_shape;
  shape[0] = shared.of;
  return shape;
}

}  // namespace

GradStore::GradStore(ParamTable& table, const ModelLayout& layout, Device device, const Groups& groups, DType products)
    : table_(table), layout_(layout), groups_(groups), products_(products) {
  const bool alone = groups.dp_cp->size() * groups.tp->size() * groups.pp->size() == 1 && !sharded();
  CHECK(products == DType::f32 || alone, dtype_name(products), " gradients are not summed over ranks");
  int64_t scratch = sharded() ? layout.largest_unit() / layout.num_ranks : 0;
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int64_t numel = sharded() ? layout.shard(static_cast<int>(u)).size() : layout.units[u].numel;
    const int64_t spared = layout.units[u].products * (dtype_size(DType::f32) - dtype_size(products));
    buffers_.emplace_back(cat("gradients of unit ", u), device, numel * dtype_size(DType::f32) - spared);
  }
  if (sharded()) {
    ring_ = UnitRing("gradient", layout, DType::f32, device);
  } else {
    for (size_t u = 0; u < layout.units.size(); ++u)
      bind(static_cast<int>(u), [&](FlatRange range) { return view(static_cast<int>(u), range); });
  }
  if (groups.pp->size() > 1)
    for (const Param& param : table)
      if (!param.spec.tied_to.empty()) scratch = std::max(scratch, param.local_shape.numel());
  for (const UnitLayout& unit : layout.units)
    for (const ParamPlace& place : unit.places)
      for (const SharedRows& shared : place.param->shared)
        scratch = std::max(scratch, whole_shape(*place.param, shared).numel());
  scratch_ = Buffer("gradient scratch", device, scratch * dtype_size(DType::f32));
  const auto for_each_counted = failpoint("norm.counts_twice") ? for_each_piece : for_each_own_piece;
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int unit = static_cast<int>(u);
    for_each_counted(layout.units[u], layout.optimizer_range(unit),
                     [&](Param& param, int64_t, int64_t flat, int64_t n) {
                       if (param.spec.trainable) counted_.push_back(view(unit, {flat, flat + n}));
                     });
  }
}

/// Elements of the unit's flat run, all of one type, where this rank keeps them.
Tensor GradStore::view(int unit, FlatRange range) const {
  const Buffer& buffer = buffers_[static_cast<size_t>(unit)];
  const int64_t products = products_ == DType::f32 ? 0 : layout_.units[static_cast<size_t>(unit)].products;
  const int64_t kept_from = sharded() ? layout_.shard(unit).begin : 0;
  if (range.end <= products) return buffer.view(products_, {range.size()}, range.begin * dtype_size(products_));
  CHECK(range.begin >= products, "gradients of two types in one view of ", buffer.name());
  const int64_t before =
      products * dtype_size(products_) + (range.begin - products - kept_from) * dtype_size(DType::f32);
  return buffer.view(DType::f32, {range.size()}, before);
}

void GradStore::bind(int unit, FunctionRef<Tensor(FlatRange)> memory) {
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places) {
    Param& param = *place.param;
    if (!param.spec.trainable) continue;
    param.grad = memory({place.offset, place.offset + param.local_shape.numel()}).reshape(param.local_shape);
    for (Param& other : table_)
      if (other.spec.tied_to == param.spec.name) other.grad = param.grad;
  }
}

void GradStore::acquire(Ctx& ctx, int unit, bool first) {
  const UnitLayout& own = layout_.units[static_cast<size_t>(unit)];
  for (const ParamPlace& place : own.places)
    place.param->grad_begun = !place.param->spec.grad_is_product || !(first || sharded());
  if (!sharded()) return;
  for (const int u : own.needs) {
    bool fresh = false;
    const int64_t numel = layout_.units[static_cast<size_t>(u)].numel;
    const Tensor flat = ring_.hold(u, numel, fresh);
    fill(ctx, flat.slice(0, u == unit ? own.products : 0, numel), 0);
    bind(u, [&](FlatRange range) { return flat.slice(0, range.begin, range.end); });
  }
}

/// Products that never came, for there was no row to multiply, are zero.
void GradStore::fill_unbegun(Ctx& ctx, int unit) {
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places)
    if (place.param->grad.defined() && !place.param->adds_to_grad()) fill(ctx, place.param->grad, 0);
}

void GradStore::sum_over_tensor_ranks(Ctx& ctx, int unit) {
  if (groups_.tp->size() == 1) return;
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places) {
    if (!place.param->grad.defined()) continue;
    if (place.param->spec.grad_sum_tp) groups_.tp->all_reduce(place.param->grad, ReduceOp::sum);
    sum_shared(ctx, *place.param);
  }
}

/// Each rank puts its rows at their place in the chunk: what is summed there is what those ranks have that share them.
void GradStore::sum_shared(Ctx& ctx, const Param& param) {
  if (failpoint("grads.shared_unsummed")) return;
  for (const SharedRows& shared : param.shared) {
    const Tensor whole = scratch_.view(DType::f32, whole_shape(param, shared));
    const Tensor place = whole.slice(0, shared.begin, shared.begin + shared.rows);
    const Tensor rows = param.grad.slice(0, shared.local_row, shared.local_row + shared.rows);
    fill(ctx, whole, 0);
    copy(ctx, place, rows);
    groups_.tp->all_reduce(whole, ReduceOp::sum);
    copy(ctx, rows, place);
  }
}

void GradStore::publish(Ctx& ctx, int unit) {
  fill_unbegun(ctx, unit);
  if (!sharded()) return;
  sum_over_tensor_ranks(ctx, unit);
  for (const int u : layout_.units[static_cast<size_t>(unit)].needs) {
    bool fresh = false;
    const Tensor flat = ring_.hold(u, layout_.units[static_cast<size_t>(u)].numel, fresh);
    const Tensor part = scratch_.view(DType::f32, {layout_.shard(u).size()});
    groups_.dp_cp->reduce_scatter(part, flat);
    const Tensor shard = view(u, layout_.shard(u));
    add(ctx, shard, shard, part);
    ring_.drop(u);
    ring_.drop(u);
  }
  ring_.invalidate();
}

void GradStore::sum_tied(Ctx& ctx) {
  Group& pp = *groups_.pp;
  if (pp.size() == 1) return;
  for (Param& copy : table_) {
    if (copy.spec.tied_to.empty()) continue;
    const Param& owner = tie_owner(table_, copy);
    const auto holds = [&](const Param& p) {
      const auto& places = layout_.units[static_cast<size_t>(p.spec.unit)].places;
      return std::any_of(places.begin(), places.end(), [&](const ParamPlace& place) { return place.param == &p; });
    };
    const bool has_owner = holds(owner), has_copy = holds(copy);
    if (has_owner == has_copy) continue;
    // The owner lies on the first stage and the copy on the last; both compute owner + copy, in that order.
    const Tensor mine = has_owner ? owner.grad : copy.grad;
    const int other = has_owner ? pp.size() - 1 : 0;
    const Tensor theirs = scratch_.view(DType::f32, mine.shape);
    pp.send(mine, other);
    pp.recv(theirs, other);
    if (has_owner)
      add(ctx, mine, mine, theirs);
    else
      add(ctx, mine, theirs, mine);
  }
}

void GradStore::finish(Ctx& ctx) {
  if (sharded() || products_ != DType::f32) return;  // the sums are there, or the rank is alone
  sum_tied(ctx);
  for (size_t u = 0; u < buffers_.size(); ++u) {
    const int unit = static_cast<int>(u);
    if (layout_.units[u].numel == 0) continue;
    sum_over_tensor_ranks(ctx, unit);
    const Tensor flat = view(unit, {0, layout_.units[u].numel});
    if (layout_.zero_stage >= 1)
      groups_.dp_cp->reduce_scatter(view(unit, layout_.shard(unit)), flat);
    else
      groups_.dp_cp->all_reduce(flat, ReduceOp::sum);
  }
}

void GradStore::zero(Ctx& ctx) {
  for (size_t u = 0; u < buffers_.size(); ++u) {
    const int unit = static_cast<int>(u);
    const FlatRange range =
        sharded() ? layout_.shard(unit) : FlatRange{layout_.units[u].products, layout_.units[u].numel};
    if (range.size() > 0) fill(ctx, view(unit, range), 0);
  }
}

Tensor GradStore::optimizer_view(int unit, int64_t at, int64_t n) const {
  const int64_t begin = layout_.optimizer_range(unit).begin + at;
  return view(unit, {begin, begin + n});
}

void GradStore::global_sum_squares(Ctx& ctx, Tensor sum) const {
  sum_squares(ctx, sum, counted_);
  if (layout_.zero_stage >= 1) groups_.dp_cp->all_reduce(sum, ReduceOp::sum);
  groups_.tp->all_reduce(sum, ReduceOp::sum);
  groups_.pp->all_reduce(sum, ReduceOp::sum);
}

const Param* GradStore::find_nonfinite(Ctx& ctx) const {
  const Param* found = nullptr;
  for (size_t u = 0; u < buffers_.size() && found == nullptr; ++u) {
    const int unit = static_cast<int>(u);
    for_each_piece(layout_.units[u], layout_.optimizer_range(unit),
                   [&](Param& param, int64_t, int64_t flat, int64_t n) {
                     if (found == nullptr && trireme::find_nonfinite(ctx, view(unit, {flat, flat + n})) >= 0)
                       found = &param;
                   });
  }
  return found;
}

int64_t GradStore::bytes() const {
  int64_t sum = ring_.bytes() + scratch_.bytes();
  for (const Buffer& b : buffers_) sum += b.bytes();
  return sum;
}

}  // namespace trireme
