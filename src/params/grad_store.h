// Owns the gradients, f32 but for products where 16 bits are asked for, and decides when they are summed over ranks.
// Layers only ever add to the bound param.grad between acquire and publish; where it is a product of matrices, the
// first of a step writes it, so that nobody need fill it with zeros and read them.
#pragma once

#include <vector>

#include "comm/mesh.h"
#include "params/param_store.h"

namespace trireme {

class GradStore {
 public:
  /// `products`: how those are held (ParamSpec::grad_is_product); other than f32 only where a rank is alone.
  GradStore(ParamTable& table, const ModelLayout& layout, Device device, const Groups& groups,
            DType products = DType::f32);

  /// Binds the gradients of the unit's parameters, ready to be added to; Param::grad_begun says which hold nothing yet.
  /// `first`: of this unit since zero(). Nothing else is remembered of the steps before, so that what a step asked of a
  /// GPU may be asked again without this.
  void acquire(Ctx& ctx, int unit, bool first);
  /// The unit's backward of one micro-batch is done. Under ZeRO-2 and 3 its sum over the ranks with the same parameters
  /// is added to this rank's shard now.
  void publish(Ctx& ctx, int unit);
  /// After the last micro-batch: all remaining sums over ranks. Then optimizer_view holds the gradient of the global
  /// batch.
  void finish(Ctx& ctx);
  /// Before the first micro-batch of a step.
  void zero(Ctx& ctx);

  /// Elements [at, at + n) of this rank's optimizer range of the unit, all of one type, as those of a parameter are.
  Tensor optimizer_view(int unit, int64_t at, int64_t n) const;
  /// sum (1) f64, written: the square of the 2-norm over the whole model, each element counted once, equal on every
  /// rank.
  void global_sum_squares(Ctx& ctx, Tensor sum) const;
  /// The first parameter of this rank with a NaN or Inf, or nullptr.
  const Param* find_nonfinite(Ctx& ctx) const;

  bool sharded() const { return layout_.zero_stage >= 2; }
  int64_t bytes() const;

 private:
  void bind(int unit, FunctionRef<Tensor(FlatRange)> memory);
  Tensor view(int unit, FlatRange range) const;
  void fill_unbegun(Ctx& ctx, int unit);
  void sum_over_tensor_ranks(Ctx& ctx, int unit);
  void sum_shared(Ctx& ctx, const Param& param);
  void sum_tied(Ctx& ctx);

  ParamTable& table_;
  const ModelLayout& layout_;
  Groups groups_;
  DType products_;
  std::vector<Buffer> buffers_;  // by unit: the whole, or this rank's shard
  std::vector<Tensor> counted_;  // this rank's gradients that count in the norm
  UnitRing ring_;
  Buffer scratch_;  // one shard, the copy of a tied gradient of another stage, or rows that tensor ranks share
};

}  // namespace trireme
