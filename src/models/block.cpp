#include "models/block.h"

#include "ops/basic.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

/// Without dropout the stream's gradient is that of both branches, and the norm between them sums its rows for the
/// biases that end them.
template <class Config>
Config in_block(Config layer, float dropout) {
  layer.sums_out_bias = dropout > 0;
  return layer;
}

}  // namespace

Block::Block(const ParamBuilder& params, const BlockConfig& config, const LayerGroups& groups)
    : config_(config),
      groups_(groups),
      norm1_(params, "norm1", config.norm, config.attention.hidden, config.norm_eps, groups.sequence_parallel()),
      attention_(params.scoped("attn"), in_block(config.attention, config.dropout), groups),
      norm2_(params, "norm2", config.norm, config.attention.hidden, config.norm_eps, groups.sequence_parallel()),
      mlp_(params.scoped("mlp"), in_block(config.mlp, config.dropout), groups) {}

/// On a GPU by the products that end both branches, where nothing comes between product and sum.
bool Block::sums(const Ctx& ctx, const Batch& batch) const {
  if (batch.cache_rows.defined()) return steps(ctx, batch);
  const bool bare = config_.dropout == 0 && !config_.float8 && !config_.attention.out_bias && !config_.mlp.bias;
  return ctx.backend == DeviceKind::cuda && bare && groups_.tp().size() == 1;
}

/// Whether a new token takes five ops: products that take norms and residuals along, and attention.
bool Block::steps(const Ctx& ctx, const Batch& batch) const {
  return batch.cache_rows.defined() && takes_norms_along(ctx, batch.num_tokens()) && !config_.float8 &&
         groups_.tp().size() == 1;
}

/// The same for a stream that is summed, rounded where forward() rounds if rows are whole packs of 16 bytes. Nothing is
/// kept for a backward.
void Block::step(Ctx& ctx, const Batch& batch, Saved& s, const Stream& in, const Stream& out) const {
  CHECK(!in.delta.defined(), "a step's stream is summed from the beginning");
  const ArenaScope scope(*ctx.temp);
  const NormArgs norm1 = norm1_.args(), norm2 = norm2_.args();
  attention_.forward(ctx, out.residual, in.residual, batch, s.attention, {.residual = &in.residual, .norm = &norm1});
  mlp_.forward(ctx, out.delta, out.residual, s.mlp, {.residual = &out.residual, .norm = &norm2});
}

void Block::forward(Ctx& ctx, const Batch& batch, int slot, const Stream& in, Tensor x, const Stream& out) {
  Saved& s = saved_[static_cast<size_t>(slot)];
  if (out.summed && steps(ctx, batch)) return step(ctx, batch, s, in, out);
  const ArenaScope scope(*ctx.temp);
  const bool saves_norms = !config_.recompute_norms && !config_.float8;
  Arena& norms = saves_norms ? *ctx.keep : *ctx.temp;

  s.x = x.defined() ? x : in.residual;
  const Measured y1 = to_measure(*ctx.temp, norms.take(s.x.dtype, s.x.shape), config_.float8);
  norm1_.forward(ctx, y1, x, in.residual, in.delta, s.norm1);
  s.mid = out.residual;
  const Tensor branch = out.summed ? Tensor() : ctx.temp->take(s.x.dtype, s.x.shape);
  attention_.forward(ctx, out.summed ? s.mid : branch, y1, batch, s.attention,
                     {.residual = out.summed ? &s.x : nullptr});
  if (config_.dropout > 0)
    dropout(ctx, branch, branch, config_.dropout, config_.attention_site, groups_.own_rows(batch));

  const Measured y2 = to_measure(*ctx.temp, norms.take(s.x.dtype, s.x.shape), config_.float8);
  if (out.summed)
    norm2_.forward(ctx, y2, {}, s.mid, {}, s.norm2);
  else
    norm2_.forward(ctx, y2, s.mid, s.x, branch, s.norm2);
  mlp_.forward(ctx, out.delta, y2, s.mlp, {.residual = out.summed ? &s.mid : nullptr});
  if (config_.dropout > 0 && out.delta.defined())
    dropout(ctx, out.delta, out.delta, config_.dropout, config_.mlp_site, groups_.own_rows(batch));

  s.normed = saves_norms ? y1.values : Tensor();
  s.mid_normed = saves_norms ? y2.values : Tensor();
}

/// The saved norm output, the same bits made again in ctx.temp, or nothing where nobody reads it.
Measured Block::normed(Ctx& ctx, const Norm& norm, const Tensor& saved, const Tensor& x) const {
  if (!config_.recompute_norms) return saved;
  const Measured y = to_measure(*ctx.temp, ctx.temp->take(x.dtype, x.shape), config_.float8);
  norm.recompute(ctx, y, x);
  return y;
}

/// The gradient that enters a residual branch: g through the branch's dropout.
Tensor Block::branch_gradient(Ctx& ctx, const Batch& batch, const Tensor& g, uint64_t site) const {
  if (config_.dropout == 0) return g;
  const Tensor dy = ctx.temp->take(g.dtype, g.shape);
  dropout(ctx, dy, g, config_.dropout, site, groups_.own_rows(batch));
  return dy;
}

void Block::backward(Ctx& ctx, const Batch& batch, int slot, Tensor g) {
  const Saved& s = saved_[static_cast<size_t>(slot)];
  {
    const ArenaScope scope(*ctx.temp);
    const Tensor dnormed = ctx.temp->take(g.dtype, g.shape);
    const Tensor dy = branch_gradient(ctx, batch, g, config_.mlp_site);
    mlp_.backward(ctx, dnormed, dy, normed(ctx, norm2_, s.mid_normed, s.mid), s.mlp);
    RowSums sums;
    if (config_.dropout == 0) sums = {mlp_.out_bias_gradient(), attention_.out_bias_gradient()};
    norm2_.backward(ctx, g, dnormed, s.mid, s.norm2, true, sums);
  }
  const ArenaScope scope(*ctx.temp);
  const Tensor dnormed = ctx.temp->take(g.dtype, g.shape);
  const Tensor dy = branch_gradient(ctx, batch, g, config_.attention_site);
  attention_.backward(ctx, dnormed, dy, normed(ctx, norm1_, s.normed, s.x), batch, s.attention);
  norm1_.backward(ctx, g, dnormed, s.x, s.norm1, true);
}

}  // namespace trireme
