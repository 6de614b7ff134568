#include "layers/attention.h"

#include <cmath>

#include "base/numeric.h"
#include "layers/context_attention.h"
#include "ops/attention.h"
#include "ops/basic.h"
#include "ops/matmul.h"
#include "ops/rope.h"

namespace trireme {
namespace {

/// (N, heads * D) columns [begin, begin + heads * D) of t as (N, heads, D).
Tensor head_view(const Tensor& t, int64_t begin, int64_t heads, int64_t head_dim) {
  Tensor view = t.slice(1, begin, begin + heads * head_dim);
  view.shape = {t.size(0), heads, head_dim};
  view.strides = {t.stride(0), head_dim, 1};
  return view;
}

AttentionArgs attention_args(const AttentionConfig& config, const Batch& batch, int64_t head_begin) {
  return {.segments = batch.segments,
          .scale = config.scale != 0 ? config.scale : 1.0F / std::sqrt(static_cast<float>(config.head_dim)),
          .window = config.window,
          .dropout = config.dropout,
          .site = config.site,
          .sample_ids = batch.sample_ids,
          .head_begin = head_begin};
}

/// Whether positions are what backward turns back last in the gradients of q and k: then it sums them as it goes.
bool turns_gradient_last(const AttentionConfig& c) { return c.rope_table.defined() && !c.qk_norm; }

}  // namespace

RankHeads rank_heads(int64_t heads, int64_t kv_heads, int64_t ranks, int64_t rank) {
  const int64_t readers = div_exact(heads, kv_heads);  // query heads of each key-value head
  const DealtPieces kv = deal_pieces(kv_heads, ranks, rank);
  const int64_t begin = kv.begin * readers + part_begin(readers, kv.sharers, kv.place);
  const int64_t end = (kv.end - 1) * readers + part_begin(readers, kv.sharers, kv.place + 1);
  return {begin, end - begin, kv.begin, kv.end - kv.begin};
}

SelfAttention::SelfAttention(const ParamBuilder& params, const AttentionConfig& c, const LayerGroups& groups)
    : config_(c),
      groups_(groups),
      rank_(rank_heads(c.heads, c.kv_heads, groups.tp().size(), groups.tp().rank())),
      qkv_(params, "qkv",
           {.in = c.hidden,
            .out = (c.heads + 2 * c.kv_heads) * c.head_dim,
            .kind = LinearKind::column,
            .bias = c.qkv_bias,
            .chunks = {c.heads * c.head_dim, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim},
            .pieces = c.kv_heads,
            .parts = {c.heads / c.kv_heads, 1, 1},
            .init_std = c.init_std,
            .sums_bias = !turns_gradient_last(c),
            .float8 = c.float8},
           groups),
      out_(params, "out",
           {.in = c.heads * c.head_dim,
            .out = c.hidden,
            .kind = LinearKind::row,
            .bias = c.out_bias,
            .pieces = c.kv_heads,
            .parts = {c.heads / c.kv_heads},
            .init_std = c.out_init_std,
            .sums_bias = c.sums_out_bias,
            .float8 = c.float8},
           groups) {
  if (!c.qk_norm) return;
  q_norm_.emplace(params, "q_norm", NormKind::rms_norm, c.head_dim, c.norm_eps, true);
  k_norm_.emplace(params, "k_norm", NormKind::rms_norm, c.head_dim, c.norm_eps, true);
}

SelfAttention::Heads SelfAttention::split(const Tensor& qkv) const {
  const int64_t d = config_.head_dim;
  return {head_view(qkv, 0, rank_.q, d), head_view(qkv, rank_.q * d, rank_.kv, d),
          head_view(qkv, (rank_.q + rank_.kv) * d, rank_.kv, d)};
}

/// The heads of queries and keys, which positions turn: they lie side by side.
Tensor SelfAttention::turned(const Tensor& qkv) const {
  return head_view(qkv, 0, rank_.q + rank_.kv, config_.head_dim);
}

/// The heads as attention saw them.
SelfAttention::Heads SelfAttention::rotated(const Saved& saved) const {
  Heads heads = split(saved.qkv);
  if (saved.qk.defined()) {
    heads.q = head_view(saved.qk, 0, rank_.q, config_.head_dim);
    heads.k = head_view(saved.qk, rank_.q * config_.head_dim, rank_.kv, config_.head_dim);
  }
  return heads;
}

void SelfAttention::forward(Ctx& ctx, Tensor y, const Measured& x, const Batch& batch, Saved& saved,
                            const BesideLinear& beside) const {
  const int64_t n = groups_.whole_rows(x.values.size(0)), d = config_.head_dim;
  saved.qkv = ctx.keep->take(x.values.dtype, {n, qkv_.local_out()});
  qkv_.forward(ctx, saved.qkv, x, config_.keeps_inputs ? &saved.qkv_input : nullptr, {.norm = beside.norm});
  saved.qk = {};
  if (q_norm_) {
    saved.qk = ctx.keep->take(x.values.dtype, {n, (rank_.q + rank_.kv) * d});
    const Heads raw = split(saved.qkv), normed = rotated(saved);
    q_norm_->forward(ctx, normed.q, {}, raw.q, {}, saved.q_norm);
    k_norm_->forward(ctx, normed.k, {}, raw.k, {}, saved.k_norm);
  }
  Heads heads = rotated(saved);
  if (batch.cache_rows.defined()) {
    saved.out = ctx.keep->take(x.values.dtype, {n, rank_.q * d});
    decode_attention(ctx, head_view(saved.out, 0, rank_.q, d), heads.q, heads.k, heads.v,
                     batch.kv[static_cast<size_t>(config_.layer)],
                     {.scale = attention_args(config_, batch, rank_.q_begin).scale,
                      .window = config_.window,
                      .rope_table = config_.rope_table,
                      .positions = batch.positions,
                      .cache_rows = batch.cache_rows});
    return out_.forward(ctx, y, saved.out, nullptr, {.residual = beside.residual});
  }
  if (config_.rope_table.defined())
    rope(ctx, turned(saved.qk.defined() ? saved.qk : saved.qkv), batch.positions, config_.rope_table);
  if (!batch.kv.empty()) {
    const KvView& cache = batch.kv[static_cast<size_t>(config_.layer)];
    for (const Segment& s : batch.segments) {
      const int64_t row = s.k_begin + (s.q_pos - s.k_pos);
      copy(ctx, cache.k.slice(0, row, row + s.q_len), heads.k.slice(0, s.q_begin, s.q_begin + s.q_len));
      copy(ctx, cache.v.slice(0, row, row + s.q_len), heads.v.slice(0, s.q_begin, s.q_begin + s.q_len));
    }
    heads.k = cache.k;
    heads.v = cache.v;
  }
  saved.out = ctx.keep->take(x.values.dtype, {n, rank_.q * d});
  saved.lse = ctx.keep->take(DType::f32, {n, rank_.q});
  const Tensor out = head_view(saved.out, 0, rank_.q, d);
  const AttentionArgs args = attention_args(config_, batch, rank_.q_begin);
  if (groups_.cp() != nullptr)
    context_attention_forward(ctx, *groups_.cp(), out, saved.lse, heads.q, heads.k, heads.v, args, batch.context);
  else
    attention_forward(ctx, out, saved.lse, heads.q, heads.k, heads.v, args);
  out_.forward(ctx, y, saved.out, config_.keeps_inputs ? &saved.out_input : nullptr, {.residual = beside.residual});
}

void SelfAttention::backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Measured& x, const Batch& batch,
                             const Saved& saved) const {
  const ArenaScope scope(*ctx.temp);
  const int64_t n = saved.qkv.size(0), d = config_.head_dim;
  const Tensor dqkv = ctx.temp->take(dy.dtype, saved.qkv.shape);
  {
    const ArenaScope inner(*ctx.temp);
    const Tensor dout = ctx.temp->take(dy.dtype, {n, rank_.q * d});
    out_.backward(ctx, dout, dy, saved.out, saved.out_input);
    const Heads heads = rotated(saved), grads = split(dqkv);
    const Tensor d_o = head_view(dout, 0, rank_.q, d), o = head_view(saved.out, 0, rank_.q, d);
    const AttentionArgs args = attention_args(config_, batch, rank_.q_begin);
    if (groups_.cp() != nullptr)
      context_attention_backward(ctx, *groups_.cp(),
                                 {grads.q, grads.k, grads.v, d_o, heads.q, heads.k, heads.v, o, saved.lse}, args,
                                 batch.context);
    else
      attention_backward(ctx, grads.q, grads.k, grads.v, d_o, heads.q, heads.k, heads.v, o, saved.lse, args);
  }
  if (config_.rope_table.defined()) {
    const Tensor bias = turns_gradient_last(config_) ? qkv_.bias_gradient() : Tensor();
    const int64_t end = dqkv.size(1), turns = end - rank_.kv * d;
    rope(ctx, turned(dqkv), batch.positions, config_.rope_table, true, bias.defined() ? bias.slice(0, 0, turns) : bias);
    if (bias.defined()) sum_rows(ctx, bias.slice(0, turns, end), dqkv.slice(1, turns, end));
  }
  if (q_norm_) {
    const Heads raw = split(saved.qkv), grads = split(dqkv);
    q_norm_->backward(ctx, grads.q, grads.q, raw.q, saved.q_norm, false);
    k_norm_->backward(ctx, grads.k, grads.k, raw.k, saved.k_norm, false);
  }
  qkv_.backward(ctx, dx, dqkv, x, saved.qkv_input);
}

}  // namespace trireme
