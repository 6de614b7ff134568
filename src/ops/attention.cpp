// Checks and cost of attention.
#include "ops/attention.h"

#include <vector>

#include "ops/attention_geometry.h"
#include "ops/basic.h"
#include "ops/cost.h"
#include "ops/cpu/attention.h"
#include "ops/cuda/attention.h"
#include "ops/cuda/decode_attention.h"
#include "ops/dispatch.h"
#include "ops/rope.h"

namespace trireme {
namespace {

void check_heads(const char* op, const char* name, const Tensor& t, const Shape& shape, DType dtype) {
  check_shape(op, name, t, shape);
  check_rows(op, name, t);
  check_dtype(op, name, t, dtype);
}

/// q and its like have one dtype, k and v and theirs another; segments lie within both.
void check_inputs(const char* op, const Ctx& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& o,
                  const Tensor& lse, const AttentionArgs& args) {
  CHECK(q.rank() == 3 && k.rank() == 3, op, ": q ", q.str(), ", k ", k.str());
  check_heads(op, "k", k, {k.size(0), k.size(1), q.size(2)}, k.dtype);
  check_heads(op, "v", v, k.shape, k.dtype);
  check_heads(op, "q", q, q.shape, q.dtype);
  check_heads(op, "o", o, q.shape, q.dtype);
  CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, op, ": ", q.size(1), " query heads on ", k.size(1), " of keys");
  check_shape(op, "lse", lse, {q.size(0), q.size(1)});
  check_dtype(op, "lse", lse, DType::f32);
  CHECK(args.window >= 0 && args.dropout >= 0 && args.dropout < 1, op, ": window ", args.window, ", dropout ",
        args.dropout);
  if (ctx.train && args.dropout > 0) check_vector(op, "sample_ids", args.sample_ids, q.size(0), DType::i64);
  for (const Segment& s : args.segments)
    CHECK(s.q_begin >= 0 && s.q_len >= 0 && int64_t{s.q_begin} + s.q_len <= q.size(0) && s.k_begin >= 0 &&
              s.k_len >= 0 && int64_t{s.k_begin} + s.k_len <= k.size(0) && s.q_pos >= 0 && s.k_pos >= 0,
          op, ": segment of queries ", s.q_begin, "+", s.q_len, " at ", s.q_pos, ", keys ", s.k_begin, "+", s.k_len,
          " at ", s.k_pos, " is outside of q ", q.str(), " or k ", k.str());
}

/// FLOPs of `products` matrix products over the visible pairs.
double pair_flops(const Tensor& q, const AttentionArgs& args, double products) {
  return 2.0 * products * static_cast<double>(visible_pairs(args)) * static_cast<double>(q.size(1) * q.size(2));
}

/// A plan for the GPU at hand: its kernels run nothing, but build what calls of these shapes will need.
bool builds_ahead(const Ctx& ctx) { return ctx.planning() && ctx.cuda != nullptr; }

int64_t threads(const Ctx& ctx) { return ctx.pool == nullptr ? 1 : ctx.pool->size(); }

/// The same by ops that are there anyway.
void decode_in_steps(Ctx& ctx, Tensor o, const Tensor& q, const Tensor& k, const Tensor& v, const KvView& cache,
                     const DecodeArgs& args) {
  const int64_t n = q.size(0);
  const ArenaScope scope(*ctx.temp);
  const Tensor lse = ctx.temp->take(DType::f32, {n, q.size(1)});
  for (const Tensor& t : {q, k})
    if (args.rope_table.defined()) rope(ctx, t, args.positions, args.rope_table);
  std::vector<Segment> segments(static_cast<size_t>(n));
  for (int64_t i = 0; i < n && !ctx.planning(); ++i) {
    const int32_t position = args.positions.i32()[i], row = args.cache_rows.i32()[i];
    segments[static_cast<size_t>(i)] = {static_cast<int32_t>(i), 1, row, position + 1, position, 0};
    copy(ctx, cache.k.slice(0, row + position, row + position + 1), k.slice(0, i, i + 1));
    copy(ctx, cache.v.slice(0, row + position, row + position + 1), v.slice(0, i, i + 1));
  }
  attention_forward(ctx, o, lse, q, cache.k, cache.v,
                    {.segments = segments, .scale = args.scale, .window = args.window, .sample_ids = {}});
}

}  // namespace

void decode_attention(Ctx& ctx, Tensor o, const Tensor& q, const Tensor& k, const Tensor& v, const KvView& cache,
                      const DecodeArgs& args) {
  const char* op = "decode_attention";
  CHECK(q.rank() == 3 && k.rank() == 3 && k.size(1) > 0 && q.size(1) % k.size(1) == 0, op, ": q ", q.str(), ", k ",
        k.str());
  const int64_t n = q.size(0), d = q.size(2);
  check_heads(op, "q", q, q.shape, q.dtype);
  check_heads(op, "o", o, q.shape, q.dtype);
  for (const Tensor* t : {&k, &v}) check_heads(op, "k or v", *t, {n, k.size(1), d}, q.dtype);
  for (const Tensor* t : {&cache.k, &cache.v}) check_heads(op, "cache", *t, {cache.k.size(0), k.size(1), d}, q.dtype);
  check_vector(op, "positions", args.positions, n, DType::i32);
  check_vector(op, "cache_rows", args.cache_rows, n, DType::i32);
  if (ctx.backend != DeviceKind::cuda) return decode_in_steps(ctx, o, q, k, v, cache, args);
  const ArenaScope scope(*ctx.temp);
  const Tensor scratch = ctx.temp->take(DType::f32, cuda::decode_scratch(q));
  if (!begin_op(ctx, op, {.bytes = bytes_of(o, q, k, v)})) return;  // how much of the cache is read, nobody knows here
  cuda::decode_attention(ctx, o, q, k, v, cache, args, scratch);
  end_op(ctx, op, o);
}

void attention_forward(Ctx& ctx, Tensor o, Tensor lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args) {
  const char* op = "attention_forward";
  check_inputs(op, ctx, q, k, v, o, lse, args);
  const ArenaScope scope(*ctx.temp);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  const Tensor scratch = on_gpu ? ctx.temp->take(DType::u8, {cuda::attention_forward_scratch(q, args)})
                                : ctx.temp->take(DType::f32, {threads(ctx), cpu::attention_forward_floats(q, k)});
  const OpCost cost{.flops = pair_flops(q, args, 2), .bytes = bytes_of(o, lse, q, k, v), .matmul = true};
  if (!begin_op(ctx, op, cost) && !builds_ahead(ctx)) return;
  if (on_gpu)
    cuda::attention_forward(ctx, o, lse, q, k, v, args, scratch);
  else
    cpu::attention_forward(ctx, o, lse, q, k, v, args, scratch.f32());
  end_op(ctx, op, o);
}

void attention_backward(Ctx& ctx, Tensor dq, Tensor dk, Tensor dv, const Tensor& d_o, const Tensor& q, const Tensor& k,
                        const Tensor& v, const Tensor& o, const Tensor& lse, const AttentionArgs& args) {
  const char* op = "attention_backward";
  check_inputs(op, ctx, q, k, v, o, lse, args);
  check_heads(op, "dq", dq, q.shape, q.dtype);
  check_heads(op, "d_o", d_o, q.shape, q.dtype);
  check_heads(op, "dk", dk, k.shape, k.dtype);
  check_heads(op, "dv", dv, k.shape, k.dtype);
  const ArenaScope scope(*ctx.temp);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  const Tensor scratch =
      on_gpu ? ctx.temp->take(DType::u8, {cuda::attention_backward_scratch(q, k, args, ctx.deterministic)})
             : ctx.temp->take(DType::f32, {threads(ctx), cpu::attention_backward_floats(q, k)});
  const Tensor delta = ctx.temp->take(DType::f32, lse.shape);
  const Tensor dq_sum = on_gpu || dq.dtype == DType::f32 ? dq : ctx.temp->take(DType::f32, q.shape);
  const OpCost cost{
      .flops = pair_flops(q, args, 5), .bytes = bytes_of(dq, dk, dv, d_o, q, k, v, o, lse), .matmul = true};
  if (!begin_op(ctx, op, cost) && !builds_ahead(ctx)) return;
  const AttentionGradients gradients{dq, dk, dv, dq_sum, delta, d_o, q, k, v, o, lse};
  if (on_gpu)
    cuda::attention_backward(ctx, gradients, args, scratch);
  else
    cpu::attention_backward(ctx, gradients, args, scratch.f32());
  end_op(ctx, op, dq);
  end_op(ctx, op, dk);
  end_op(ctx, op, dv);
}

}  // namespace trireme
