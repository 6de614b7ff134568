// The ranks that compute a layer together. Tensor ranks split its matrices; under sequence parallelism they also split
// the tokens of everything between two matrices, so that norms, dropout and the residual stream are held once a group
// and not once a rank (Korthikanti et al., 2022). Context ranks split the tokens of attention too.
#pragma once

#include "comm/group.h"
#include "tensor/batch.h"
#include "tensor/ctx.h"

namespace trireme {

/// A layer keeps its own copy; the groups are not owned. "Whole rows" are all tokens of this rank's batch, "own rows"
/// those that this tensor rank has between two matrices: the same without sequence parallelism.
class LayerGroups {
 public:
  /// Only tensor parallelism. Implicit: whoever splits nothing else passes the group itself.
  LayerGroups(Group& tp) : tp_(&tp) {}
  LayerGroups(Group& tp, Group& cp, bool sequence_parallel)
      : tp_(&tp), cp_(&cp), sequence_parallel_(sequence_parallel && tp.size() > 1) {}

  Group& tp() const { return *tp_; }
  bool sequence_parallel() const { return sequence_parallel_; }
  /// The context ranks, or null where one rank has all tokens.
  Group* cp() const { return cp_ != nullptr && cp_->size() > 1 ? cp_ : nullptr; }

  int64_t whole_rows(int64_t own) const { return sequence_parallel_ ? own * tp_->size() : own; }
  int64_t own_rows(int64_t whole) const;
  /// Positions and sample ids of the own rows, for what draws random numbers there; no segments.
  Batch own_rows(const Batch& batch) const;

  /// The whole rows of x (own rows, C): x itself, or gathered in ctx.temp.
  Tensor gather(Ctx& ctx, const Tensor& x) const;
  /// Where this rank puts its part of a sum over the tensor ranks that ends in y (own rows, C): y itself, or whole rows
  /// in f32 in ctx.temp.
  Tensor partial(Ctx& ctx, const Tensor& y) const;
  /// y = the sum of all ranks' parts; `part` as partial() gave it.
  void sum(Ctx& ctx, const Tensor& y, const Tensor& part) const;

 private:
  Group* tp_;
  Group* cp_ = nullptr;
  bool sequence_parallel_ = false;
};

}  // namespace trireme
