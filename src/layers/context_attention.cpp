#include "layers/context_attention.h"

#include "base/numeric.h"
#include "ops/basic.h"

namespace trireme {
namespace {

/// (N, K, D) with heads next to each other as (N, K D).
Tensor flat_heads(Tensor t) {
  t.shape = {t.size(0), t.size(1) * t.size(2)};
  t.strides = {t.stride(0), 1};
  return t;
}

/// Columns [begin, begin + K D) of rows as (N, K, D), as `like` is cut.
Tensor heads_of(const Tensor& rows, int64_t begin, const Tensor& like) {
  Tensor view = rows.slice(1, begin, begin + like.size(1) * like.size(2));
  view.shape = {rows.size(0), like.size(1), like.size(2)};
  view.strides = {rows.stride(0), like.size(2), 1};
  return view;
}

/// Copies between rows in order of rank, half, sample (as they are gathered) and rows in order of sample and position.
void reorder(Ctx& ctx, const Tensor& by_rank, const Tensor& by_position, int64_t ranks, int64_t chunk,
             bool to_position) {
  const int64_t samples = div_exact(by_rank.size(0), 2 * ranks * chunk);
  for (int64_t rank = 0; rank < ranks; ++rank)
    for (int64_t half = 0; half < 2; ++half)
      for (int64_t sample = 0; sample < samples; ++sample) {
        const int64_t from = ((rank * 2 + half) * samples + sample) * chunk;
        const int64_t to = (sample * 2 * ranks + context_chunk(rank, ranks, half)) * chunk;
        const Tensor a = by_rank.slice(0, from, from + chunk), b = by_position.slice(0, to, to + chunk);
        to_position ? copy(ctx, b, a) : copy(ctx, a, b);
      }
}

/// Keys and values of all ranks in order of position, side by side in ctx.temp: (cp N, 2 K D).
Tensor gather_keys(Ctx& ctx, Group& cp, const Tensor& k, const Tensor& v, int64_t chunk) {
  const int64_t n = k.size(0), width = k.size(1) * k.size(2);
  const Tensor whole = ctx.temp->take(k.dtype, {cp.size() * n, 2 * width});
  const ArenaScope scope(*ctx.temp);
  const Tensor mine = ctx.temp->take(k.dtype, {n, 2 * width});
  copy(ctx, mine.slice(1, 0, width), flat_heads(k));
  copy(ctx, mine.slice(1, width, 2 * width), flat_heads(v));
  const Tensor by_rank = ctx.temp->take(k.dtype, whole.shape);
  cp.all_gather(by_rank, mine);
  reorder(ctx, by_rank, whole, cp.size(), chunk, true);
  return whole;
}

/// The rows of one half: each is one call, since the two may see the same keys.
AttentionArgs half_args(AttentionArgs args, const ContextShare& share, int64_t half, int64_t rows) {
  args.segments = share.halves[static_cast<size_t>(half)];
  if (args.sample_ids.defined()) args.sample_ids = args.sample_ids.slice(0, half * rows, (half + 1) * rows);
  return args;
}

}  // namespace

void context_attention_forward(Ctx& ctx, Group& cp, Tensor o, Tensor lse, const Tensor& q, const Tensor& k,
                               const Tensor& v, const AttentionArgs& args, const ContextShare& share) {
  const ArenaScope scope(*ctx.temp);
  const Tensor keys = gather_keys(ctx, cp, k, v, share.chunk);
  const Tensor all_k = heads_of(keys, 0, k), all_v = heads_of(keys, k.size(1) * k.size(2), k);
  const int64_t rows = div_exact(q.size(0), 2);
  for (int64_t half = 0; half < 2; ++half) {
    const auto part = [&](const Tensor& t) { return t.slice(0, half * rows, (half + 1) * rows); };
    attention_forward(ctx, part(o), part(lse), part(q), all_k, all_v, half_args(args, share, half, rows));
  }
}

void context_attention_backward(Ctx& ctx, Group& cp, const ContextGradients& g, const AttentionArgs& args,
                                const ContextShare& share) {
  const ArenaScope scope(*ctx.temp);
  const int64_t width = g.k.size(1) * g.k.size(2), rows = div_exact(g.q.size(0), 2);
  const Tensor by_rank = ctx.temp->take(DType::f32, {cp.size() * g.k.size(0), 2 * width});
  const Tensor mine = ctx.temp->take(DType::f32, {g.k.size(0), 2 * width});
  {
    const ArenaScope inner(*ctx.temp);
    const Tensor keys = gather_keys(ctx, cp, g.k, g.v, share.chunk);
    const Tensor all_k = heads_of(keys, 0, g.k), all_v = heads_of(keys, width, g.k);
    const Tensor grads[2] = {ctx.temp->take(keys.dtype, keys.shape), ctx.temp->take(keys.dtype, keys.shape)};
    for (int64_t half = 0; half < 2; ++half) {
      const auto part = [&](const Tensor& t) { return t.slice(0, half * rows, (half + 1) * rows); };
      attention_backward(ctx, part(g.dq), heads_of(grads[half], 0, g.k), heads_of(grads[half], width, g.k), part(g.d_o),
                         part(g.q), all_k, all_v, part(g.o), part(g.lse), half_args(args, share, half, rows));
    }
    add(ctx, grads[0], grads[0], grads[1]);
    reorder(ctx, by_rank, grads[0], cp.size(), share.chunk, false);
  }
  cp.reduce_scatter(mine, by_rank);
  copy(ctx, flat_heads(g.dk), mine.slice(1, 0, width));
  copy(ctx, flat_heads(g.dv), mine.slice(1, width, 2 * width));
}

}  // namespace trireme
