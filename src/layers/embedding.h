// Token embedding, split over the vocabulary between tensor-parallel ranks, plus learned positions where the family has
// them.
#pragma once

#include "layers/groups.h"
#include "params/spec.h"

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
  Embedding(const ParamBuilder& params, const EmbeddingConfig& config, const LayerGroups& groups);

  /// y (N, C), own rows, written.
  void forward(Ctx& ctx, Tensor y, const Batch& batch) const;
  /// Adds to the gradients of the tables; dy may be overwritten.
  void backward(Ctx& ctx, Tensor dy, const Batch& batch) const;

 private:
  EmbeddingConfig config_;
  LayerGroups groups_;
  Param& tokens_;
  Param* positions_ = nullptr;
};

}  // namespace trireme
