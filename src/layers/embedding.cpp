#include "layers/embedding.h"

#include "ops/basic.h"
#include "ops/embedding.h"

namespace trireme {

Embedding::Embedding(const ParamBuilder& params, const EmbeddingConfig& c, const LayerGroups& groups)
    : config_(c),
      groups_(groups),
      tokens_(params.add({.name = "tokens.weight",
                          .shape = {c.vocab, c.hidden},
                          .init_std = c.init_std,
                          .split = {.dim = 0},
                          .decay = true})) {
  if (c.positions > 0)
    positions_ = &params.add({.name = "positions.weight",
                              .shape = {c.positions, c.hidden},
                              .init_std = c.position_init_std,
                              .decay = true,
                              .grad_sum_tp = groups.sequence_parallel()});
}

void Embedding::forward(Ctx& ctx, Tensor y, const Batch& batch) const {
  const ArenaScope scope(*ctx.temp);
  const Batch own = groups_.own_rows(batch);
  const Tensor part = groups_.partial(ctx, y);
  embedding_forward(ctx, part, batch.tokens, tokens_.value, tokens_.local_boxes[0].row);
  groups_.sum(ctx, y, part);
  if (positions_ != nullptr) embedding_forward(ctx, y, own.positions, positions_->value, 0, true);
  if (config_.dropout > 0) dropout(ctx, y, y, config_.dropout, config_.site, own);
}

void Embedding::backward(Ctx& ctx, Tensor dy, const Batch& batch) const {
  const ArenaScope scope(*ctx.temp);
  const Batch own = groups_.own_rows(batch);
  if (config_.dropout > 0) dropout(ctx, dy, dy, config_.dropout, config_.site, own);
  if (positions_ != nullptr && positions_->grad.defined())
    embedding_backward(ctx, positions_->grad, own.positions, dy, 0);
  if (tokens_.grad.defined())
    embedding_backward(ctx, tokens_.grad, batch.tokens, groups_.gather(ctx, dy), tokens_.local_boxes[0].row);
}

}  // namespace trireme
