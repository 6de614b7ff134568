// Cross-entropy over logits that may be one slice of the vocabulary: columns [col_begin, col_begin + V) of the
// whole. In order: stats, (a group of ranks agrees on max and sums), loss, backward in place.
// Shapes: logits (N, V); targets (N) i32; everything else (N) f32.
#pragma once

#include "tensor/ctx.h"

namespace trireme {

/// row_max = max over the columns; row_sum = sum exp(logit - row_max); target_logit = the target's logit, 0 where
/// the target lies in another slice.
void cross_entropy_stats(Ctx& ctx, Tensor row_max, Tensor row_sum, Tensor target_logit, const Tensor& logits,
                         const Tensor& targets, int64_t col_begin);

/// row_sum *= exp(row_max - global_max), in place: what this slice adds to the global sum.
void cross_entropy_rescale(Ctx& ctx, Tensor row_sum, const Tensor& row_max, const Tensor& global_max);

/// lse = row_max + log(row_sum); loss = lse - target_logit.
void cross_entropy_loss(Ctx& ctx, Tensor loss, Tensor lse, const Tensor& row_max, const Tensor& row_sum,
                        const Tensor& target_logit);

/// logits become their gradient: scale * weight * (exp(logit - lse) - [column is the target]).
void cross_entropy_backward(Ctx& ctx, Tensor logits, const Tensor& lse, const Tensor& targets, const Tensor& weights,
                            float scale, int64_t col_begin);

/// All of it at once, for the whole vocabulary and weights known beforehand: loss as cross_entropy_loss gives it, and
/// logits become their gradient as by cross_entropy_backward. On a GPU the logits cross memory half as often.
void cross_entropy(Ctx& ctx, Tensor loss, Tensor logits, const Tensor& targets, const Tensor& weights, float scale);

/// sum (1) f64, added: sum(weights * loss) over rows, in double and in a fixed order.
void weighted_sum(Ctx& ctx, Tensor sum, const Tensor& weights, const Tensor& loss);

}  // namespace trireme
