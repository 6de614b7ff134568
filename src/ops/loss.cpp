// Checks and cost of the cross-entropy.
#include "ops/loss.h"

#include "ops/cost.h"
#include "ops/cpu/loss.h"
#include "ops/cuda/loss.h"
#include "ops/dispatch.h"

namespace trireme {
namespace {

void check_logits(const char* op, const Tensor& logits, const Tensor& targets) {
  check_shape(op, "logits", logits, {logits.size(0), logits.size(1)});
  check_rows(op, "logits", logits);
  check_vector(op, "targets", targets, logits.size(0), DType::i32);
}

double elements(const Tensor& t) { return static_cast<double>(t.numel()); }

}  // namespace

void cross_entropy_stats(Ctx& ctx, Tensor row_max, Tensor row_sum, Tensor target_logit, const Tensor& logits,
                         const Tensor& targets, int64_t col_begin) {
  const char* op = "cross_entropy_stats";
  check_logits(op, logits, targets);
  check_vector(op, "row_max", row_max, logits.size(0), DType::f32);
  check_vector(op, "row_sum", row_sum, logits.size(0), DType::f32);
  check_vector(op, "target_logit", target_logit, logits.size(0), DType::f32);
  const OpCost cost{.flops = 11 * elements(logits), .bytes = bytes_of(logits, targets, row_max, row_sum, target_logit)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::cross_entropy_stats, cuda::cross_entropy_stats, row_max, row_sum, target_logit, logits, targets,
            col_begin);
  end_op(ctx, op, row_sum);
}

void cross_entropy_rescale(Ctx& ctx, Tensor row_sum, const Tensor& row_max, const Tensor& global_max) {
  const char* op = "cross_entropy_rescale";
  check_vector(op, "row_sum", row_sum, row_sum.numel(), DType::f32);
  check_vector(op, "row_max", row_max, row_sum.numel(), DType::f32);
  check_vector(op, "global_max", global_max, row_sum.numel(), DType::f32);
  if (!begin_op(ctx, op, {.flops = 10 * elements(row_sum), .bytes = 2 * bytes_of(row_sum, row_max)})) return;
  on_device(ctx, cpu::cross_entropy_rescale, cuda::cross_entropy_rescale, row_sum, row_max, global_max);
  end_op(ctx, op, row_sum);
}

void cross_entropy_loss(Ctx& ctx, Tensor loss, Tensor lse, const Tensor& row_max, const Tensor& row_sum,
                        const Tensor& target_logit) {
  const char* op = "cross_entropy_loss";
  const int64_t n = loss.numel();
  check_vector(op, "loss", loss, n, DType::f32);
  check_vector(op, "lse", lse, n, DType::f32);
  check_vector(op, "row_max", row_max, n, DType::f32);
  check_vector(op, "row_sum", row_sum, n, DType::f32);
  check_vector(op, "target_logit", target_logit, n, DType::f32);
  const OpCost cost{.flops = 10 * elements(loss), .bytes = bytes_of(loss, lse, row_max, row_sum, target_logit)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::cross_entropy_loss, cuda::cross_entropy_loss, loss, lse, row_max, row_sum, target_logit);
  end_op(ctx, op, loss);
}

void cross_entropy_backward(Ctx& ctx, Tensor logits, const Tensor& lse, const Tensor& targets, const Tensor& weights,
                            float scale, int64_t col_begin) {
  const char* op = "cross_entropy_backward";
  check_logits(op, logits, targets);
  check_vector(op, "lse", lse, logits.size(0), DType::f32);
  check_vector(op, "weights", weights, logits.size(0), DType::f32);
  const OpCost cost{.flops = 10 * elements(logits), .bytes = 2 * bytes_of(logits) + bytes_of(lse, targets, weights)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::cross_entropy_backward, cuda::cross_entropy_backward, logits, lse, targets, weights, scale,
            col_begin);
  end_op(ctx, op, logits);
}

void cross_entropy(Ctx& ctx, Tensor loss, Tensor logits, const Tensor& targets, const Tensor& weights, float scale) {
  const char* op = "cross_entropy";
  check_logits(op, logits, targets);
  check_vector(op, "loss", loss, logits.size(0), DType::f32);
  check_vector(op, "weights", weights, logits.size(0), DType::f32);
  const ArenaScope scope(*ctx.temp);
  Tensor max, sum, target_logit, lse;
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  if (!on_gpu)
    for (Tensor* t : {&max, &sum, &target_logit, &lse}) *t = ctx.temp->take(DType::f32, loss.shape);
  const OpCost cost{.flops = 21 * elements(logits), .bytes = 2 * bytes_of(logits) + bytes_of(loss, targets, weights)};
  if (!begin_op(ctx, op, cost)) return;
  if (on_gpu) {
    cuda::cross_entropy(ctx, loss, logits, targets, weights, scale);
  } else {
    cpu::cross_entropy_stats(ctx, max, sum, target_logit, logits, targets, 0);
    cpu::cross_entropy_loss(ctx, loss, lse, max, sum, target_logit);
    cpu::cross_entropy_backward(ctx, logits, lse, targets, weights, scale, 0);
  }
  end_op(ctx, op, logits);
}

void weighted_sum(Ctx& ctx, Tensor sum, const Tensor& weights, const Tensor& loss) {
  const char* op = "weighted_sum";
  check_vector(op, "sum", sum, 1, DType::f64);
  check_vector(op, "weights", weights, loss.numel(), DType::f32);
  check_vector(op, "loss", loss, loss.numel(), DType::f32);
  if (!begin_op(ctx, op, {.flops = 2 * elements(loss), .bytes = bytes_of(weights, loss)})) return;
  on_device(ctx, cpu::weighted_sum, cuda::weighted_sum, sum, weights, loss);
}

}  // namespace trireme
