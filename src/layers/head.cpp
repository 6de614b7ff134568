#include "layers/head.h"

#include <algorithm>

#include "ops/linear_cross_entropy.h"
#include "ops/loss.h"
#include "ops/matmul.h"

namespace trireme {

Head::Head(const ParamBuilder& params, const HeadConfig& c, const LayerGroups& groups)
    : config_(c),
      groups_(groups),
      weight_(params.add({.name = "weight",
                          .shape = {c.vocab, c.hidden},
                          .init_std = c.init_std,
                          .split = {.dim = 0},
                          .decay = true,
                          .grad_is_product = c.tied_to.empty(),  // or others add to it too
                          .tied_to = c.tied_to})) {}

void Head::loss(Ctx& ctx, Tensor sum, Tensor dx, const Tensor& own_x, const Batch& batch) const {
  const ArenaScope scope(*ctx.temp);
  const Tensor x = groups_.gather(ctx, own_x), part = dx.defined() ? groups_.partial(ctx, dx) : Tensor();
  for (int64_t begin = 0; begin < x.size(0); begin += ctx.logit_rows) {
    const int64_t end = std::min(begin + ctx.logit_rows, x.size(0));
    chunk_loss(ctx, sum, dx.defined() ? part.slice(0, begin, end) : Tensor(), x.slice(0, begin, end), batch, begin);
  }
  if (dx.defined()) groups_.sum(ctx, dx, part);
}

void Head::chunk_loss(Ctx& ctx, const Tensor& sum, Tensor dx, const Tensor& x, const Batch& batch,
                      int64_t begin) const {
  const ArenaScope scope(*ctx.temp);
  const int64_t n = x.size(0), col_begin = weight_.local_boxes[0].row;
  const Tensor targets = batch.targets.slice(0, begin, begin + n), weights = batch.weights.slice(0, begin, begin + n);
  const float scale = static_cast<float>(ctx.loss_scale / batch.total_weight);
  if (groups_.tp().size() == 1 && dx.defined()) {
    const Tensor loss = ctx.temp->take(DType::f32, {n});
    LinearCrossEntropy all{.loss = loss,
                           .dx = dx,
                           .x = x,
                           .weight = weight_.value,
                           .targets = targets,
                           .weights = weights,
                           .scale = scale};
    if (weight_.grad.defined()) {
      all.dweight = weight_.grad;
      all.accumulate = weight_.adds_to_grad();
    }
    linear_cross_entropy(ctx, all);
    return weighted_sum(ctx, sum, weights, loss);
  }
  const Tensor logits = take_logits(ctx, x.dtype, n, weight_.local_shape[0]);
  matmul(ctx, logits, x, weight_.value, {.transpose_b = true});
  Tensor row_max = ctx.temp->take(DType::f32, {n});
  const Tensor sums = ctx.temp->take(DType::f32, {2, n});  // sums of exponentials, target logits: reduced as one
  const Tensor row_sum = sums.slice(0, 0, 1).reshape({n}), target_logit = sums.slice(0, 1, 2).reshape({n});
  cross_entropy_stats(ctx, row_max, row_sum, target_logit, logits, targets, col_begin);
  if (groups_.tp().size() > 1) {
    const Tensor global_max = ctx.temp->take(DType::f32, {n});
    copy_memory(global_max.device, global_max.data, row_max.device, row_max.data, row_max.bytes());
    groups_.tp().all_reduce(global_max, ReduceOp::max);
    cross_entropy_rescale(ctx, row_sum, row_max, global_max);
    groups_.tp().all_reduce(sums, ReduceOp::sum);
    row_max = global_max;
  }
  const Tensor loss = ctx.temp->take(DType::f32, {n}), lse = ctx.temp->take(DType::f32, {n});
  cross_entropy_loss(ctx, loss, lse, row_max, row_sum, target_logit);
  weighted_sum(ctx, sum, weights, loss);
  if (!dx.defined()) return;

  cross_entropy_backward(ctx, logits, lse, targets, weights, scale, col_begin);
  if (weight_.grad.defined())
    matmul(ctx, weight_.grad, logits, x, {.transpose_a = true, .accumulate = weight_.adds_to_grad()});
  matmul(ctx, dx, logits, weight_.value);
}

void Head::logits(Ctx& ctx, Tensor out, const Tensor& x, const NormArgs* norm) const {
  if (groups_.tp().size() == 1) {
    matmul(ctx, out, x, weight_.value, {.transpose_b = true, .norm = norm});
    return;
  }
  // Each rank's columns by themselves, rank after rank; parts may differ by one column.
  const int64_t v = config_.vocab, col_begin = weight_.local_boxes[0].row;
  fill_memory(out.device, out.data, 0, out.bytes());
  matmul(ctx, out.slice(1, col_begin, col_begin + weight_.local_shape[0]), x, weight_.value,
         {.transpose_b = true, .norm = norm});
  CHECK(out.size(1) == v && out.contiguous(), out.str());
  groups_.tp().all_reduce(out, ReduceOp::sum);
}

}  // namespace trireme
