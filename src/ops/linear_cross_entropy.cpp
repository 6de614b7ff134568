// Checks and cost of the projection with its cross-entropy, and what it is made of where there is no kernel for both.
#include "ops/linear_cross_entropy.h"

#include "base/numeric.h"
#include "ops/cost.h"
#include "ops/cuda/linear_cross_entropy.h"
#include "ops/dispatch.h"
#include "ops/loss.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

/// Whether there is a kernel for it; a plan may be made for a GPU that proves to have none, which needs less memory.
bool is_fused(const Ctx& ctx, const LinearCrossEntropy& a) {
  if (ctx.backend != DeviceKind::cuda || a.x.numel() == 0 || a.weight.numel() == 0) return false;
  constexpr int64_t kRowAlignment = 8;  // elements in 16 bytes
  for (const Tensor* t : {&a.x, &a.weight, &a.dx})
    if (t->dtype != DType::bf16 || t->stride(0) % kRowAlignment != 0 || t->size(1) % kRowAlignment != 0) return false;
  return ctx.planning() || cuda::has_linear_cross_entropy(*ctx.cuda, a);
}

void fused(Ctx& ctx, const LinearCrossEntropy& a, const Tensor& g) {
  const char* op = "linear_cross_entropy";
  const int64_t n = g.size(0), v = g.size(1);
  const Tensor partial = ctx.temp->take(DType::f32, {ceil_div(v, cuda::kCrossEntropyColumns), n});
  const Tensor target_logit = ctx.temp->take(DType::f32, {n}), above = ctx.temp->take(DType::f32, {n});
  const Tensor factor = ctx.temp->take(DType::f32, {n}), again = ctx.temp->take(DType::i32, {1});
  const double flops = 2.0 * static_cast<double>(a.x.numel()) * static_cast<double>(v);
  const double bytes = bytes_of(g, a.x, a.x, a.weight, partial, partial);
  if (begin_op(ctx, op, {.flops = flops, .bytes = bytes, .matmul = true})) {
    cuda::linear_cross_entropy(ctx, a, {g, partial, target_logit, above, factor, again});
    end_op(ctx, op, a.loss);
  }
  const auto scale_rows = [&](const Tensor& from) {
    const OpCost cost{.flops = static_cast<double>(from.numel()), .bytes = bytes_of(a.dx, from)};
    if (begin_op(ctx, "scale_rows", cost)) cuda::scale_rows(ctx, a.dx, from, factor);
  };
  if (a.dweight.defined()) {
    scale_rows(a.x);  // dx is free until its own product
    matmul(ctx, a.dweight, g, a.dx, {.transpose_a = true, .accumulate = a.accumulate});
  }
  matmul(ctx, a.dx, g, a.weight);
  scale_rows(a.dx);
}

}  // namespace

Tensor take_logits(Ctx& ctx, DType dtype, int64_t n, int64_t v) {
  constexpr int64_t kRowAlignment = 64;  // elements
  return ctx.temp->take(dtype, {n, round_up(v, kRowAlignment)}).slice(1, 0, v);
}

void linear_cross_entropy(Ctx& ctx, const LinearCrossEntropy& a) {
  const char* op = "linear_cross_entropy";
  CHECK(a.x.rank() == 2 && a.weight.rank() == 2, op, ": x ", a.x.str(), ", weight ", a.weight.str());
  const int64_t n = a.x.size(0), v = a.weight.size(0);
  check_shape(op, "weight", a.weight, {v, a.x.size(1)});
  check_shape(op, "dx", a.dx, a.x.shape);
  if (a.dweight.defined()) check_shape(op, "dweight", a.dweight, a.weight.shape);
  for (const Tensor* t : {&a.x, &a.weight, &a.dx}) check_rows(op, "a matrix", *t);
  check_vector(op, "loss", a.loss, n, DType::f32);
  check_vector(op, "targets", a.targets, n, DType::i32);
  check_vector(op, "weights", a.weights, n, DType::f32);
  const ArenaScope scope(*ctx.temp);
  const Tensor logits = take_logits(ctx, a.x.dtype, n, v);
  if (is_fused(ctx, a)) return fused(ctx, a, logits);
  matmul(ctx, logits, a.x, a.weight, {.transpose_b = true});
  cross_entropy(ctx, a.loss, logits, a.targets, a.weights, a.scale);
  if (a.dweight.defined()) matmul(ctx, a.dweight, logits, a.x, {.transpose_a = true, .accumulate = a.accumulate});
  matmul(ctx, a.dx, logits, a.weight);
}

}  // namespace trireme
