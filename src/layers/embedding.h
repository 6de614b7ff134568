// Token embedding, split over the vocabulary between tensor-parallel ranks, plus learned positions where the family has
// them.
#pragma once

#include "comm/group.h"
#include "params/spec.h"
#include "tensor/batch.h"
#include "tensor/ctx.h"

namespace trireme {

struct EmbeddingConfig {
  int64_t vocab = 0, hidden = 0;
  int64_t positions = 0;  // learned ones; 0: none
  float dropout = 0;
  uint64_t site = 0;
  float init_std = 0.02F, position_init_std = 0.02F;
};

class Embedding {
 public:
  /// Declares `tokens.weight` (V, C) and `positions.weight` (P, C).
  Embedding(const ParamBuilder& params, const EmbeddingConfig& config, Group& tp);

  /// y (N, C), written.
  void forward(Ctx& ctx, Tensor y, const Batch& batch) const;
  /// Adds to the gradients of the tables; dy may be overwritten.
  void backward(Ctx& ctx, Tensor dy, const Batch& batch) const;

 private:
  EmbeddingConfig config_;
  Group& tp_;
  Param& tokens_;
  Param* positions_ = nullptr;
};

}  // namespace trireme
