#include "layers/embedding.h"

#include "ops/basic.h"
#include "ops/embedding.h"

namespace trireme {

Embedding::Embedding(const ParamBuilder& params, const EmbeddingConfig& c, Group& tp)
    : config_(c),
      tp_(tp),
      tokens_(params.add({.name = "tokens.weight",
                          .shape = {c.vocab, c.hidden},
                          .init_std = c.init_std,
                          .split = {.dim = 0},
                          .decay = true})) {
  if (c.positions > 0)
    positions_ = &params.add(
        {.name = "positions.weight", .shape = {c.positions, c.hidden}, .init_std = c.position_init_std, .decay = true});
}

void Embedding::forward(Ctx& ctx, Tensor y, const Batch& batch) const {
  embedding_forward(ctx, y, batch.tokens, tokens_.value, tokens_.local_boxes[0].row);
  if (tp_.size() > 1) tp_.all_reduce(y, ReduceOp::sum);
  if (positions_ != nullptr) embedding_forward(ctx, y, batch.positions, positions_->value, 0, true);
  if (config_.dropout > 0) dropout(ctx, y, y, config_.dropout, config_.site, batch);
}

void Embedding::backward(Ctx& ctx, Tensor dy, const Batch& batch) const {
  if (config_.dropout > 0) dropout(ctx, dy, dy, config_.dropout, config_.site, batch);
  if (tokens_.grad.defined()) embedding_backward(ctx, tokens_.grad, batch.tokens, dy, tokens_.local_boxes[0].row);
  if (positions_ != nullptr && positions_->grad.defined())
    embedding_backward(ctx, positions_->grad, batch.positions, dy, 0);
}

}  // namespace trireme
