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

GradStore::GradStore(ParamTable& table, const ModelLayout& layout, Device device, const Groups& groups)
    : table_(table), layout_(layout), groups_(groups) {
  int64_t scratch = sharded() ? layout.largest_unit() / layout.num_ranks : 0;
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int64_t numel = sharded() ? layout.shard(static_cast<int>(u)).size() : layout.units[u].numel;
    buffers_.emplace_back(cat("gradients of unit ", u), device, numel * dtype_size(DType::f32));
  }
  if (sharded()) {
    ring_ = UnitRing("gradient", layout, DType::f32, device);
  } else {
    for (size_t u = 0; u < layout.units.size(); ++u)
      if (layout.units[u].numel > 0) bind(static_cast<int>(u), buffers_[u].view(DType::f32, {layout.units[u].numel}));
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
    const FlatRange range = layout.optimizer_range(static_cast<int>(u));
    const Tensor view = optimizer_view(static_cast<int>(u));
    for_each_counted(layout.units[u], range, [&](Param& param, int64_t, int64_t flat, int64_t n) {
      if (param.spec.trainable) counted_.push_back(view.slice(0, flat - range.begin, flat - range.begin + n));
    });
  }
}

void GradStore::bind(int unit, const Tensor& flat) {
  for (const ParamPlace& place : layout_.units[static_cast<size_t>(unit)].places) {
    Param& param = *place.param;
    if (!param.spec.trainable) continue;
    param.grad = flat.slice(0, place.offset, place.offset + param.local_shape.numel()).reshape(param.local_shape);
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
    bind(u, flat);
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
    const Tensor shard = optimizer_view(u);
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
  if (sharded()) return;
  sum_tied(ctx);
  for (size_t u = 0; u < buffers_.size(); ++u) {
    const int unit = static_cast<int>(u);
    if (layout_.units[u].numel == 0) continue;
    sum_over_tensor_ranks(ctx, unit);
    const Tensor flat = buffers_[u].view(DType::f32, {layout_.units[u].numel});
    if (layout_.zero_stage >= 1)
      groups_.dp_cp->reduce_scatter(optimizer_view(unit), flat);
    else
      groups_.dp_cp->all_reduce(flat, ReduceOp::sum);
  }
}

void GradStore::zero(Ctx& ctx) {
  for (size_t u = 0; u < buffers_.size(); ++u) {
    const int64_t begin = sharded() ? 0 : layout_.units[u].products;
    const int64_t end = buffers_[u].bytes() / dtype_size(DType::f32);
    if (begin < end) fill(ctx, buffers_[u].view(DType::f32, {end - begin}, begin * dtype_size(DType::f32)), 0);
  }
}

Tensor GradStore::optimizer_view(int unit) const {
  const FlatRange range = layout_.optimizer_range(unit);
  return buffers_[static_cast<size_t>(unit)].view(DType::f32, {range.size()},
                                                  sharded() ? 0 : range.begin * dtype_size(DType::f32));
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
    const FlatRange range = layout_.optimizer_range(static_cast<int>(u));
    const Tensor view = optimizer_view(static_cast<int>(u));
    for_each_piece(layout_.units[u], range, [&](Param& param, int64_t, int64_t flat, int64_t n) {
      if (found == nullptr &&
          trireme::find_nonfinite(ctx, view.slice(0, flat - range.begin, flat - range.begin + n)) >= 0)
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
