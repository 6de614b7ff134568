// The output projection and the loss, in chunks of tokens, so that the logits of a whole batch never exist at once. The
// vocabulary is split over the tensor-parallel ranks. Token weights are known before backward, so one pass computes
// loss and gradients.
#pragma once

#include "layers/groups.h"
#include "ops/norm.h"
#include "params/spec.h"

namespace trireme {

struct HeadConfig {
  int64_t vocab = 0, hidden = 0;
  std::string tied_to;  // the embedding's full name, or empty: an own matrix
  float init_std = 0.02F;
};

class Head {
 public:
  /// Declares `weight` (V, C).
  Head(const ParamBuilder& params, const HeadConfig& config, const LayerGroups& groups);

  /// Adds sum(weight * loss) over the tokens of x (N, C), own rows, to sum (1) f64. Where dx (N, C) is defined, it is
  /// written with the gradient of ctx.loss_scale * sum(weight * loss) / batch.total_weight and the weight's gradient is
  /// added to.
  void loss(Ctx& ctx, Tensor sum, Tensor dx, const Tensor& x, const Batch& batch) const;

  /// logits (M, V), f32, of the rows of x (M, C), or of their norm, on every rank.
  void logits(Ctx& ctx, Tensor out, const Tensor& x, const NormArgs* norm = nullptr) const;

 private:
  void chunk_loss(Ctx& ctx, const Tensor& sum, Tensor dx, const Tensor& x, const Batch& batch, int64_t begin) const;
  HeadConfig config_;
  LayerGroups groups_;
  Param& weight_;
};

}  // namespace trireme
