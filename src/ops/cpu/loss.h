// CPU kernels of the cross-entropy; the contract is in ops/loss.h.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cpu {

void cross_entropy_stats(Ctx& ctx, const Tensor& row_max, const Tensor& row_sum, const Tensor& target_logit,
                         const Tensor& logits, const Tensor& targets, int64_t col_begin);
void cross_entropy_rescale(Ctx& ctx, const Tensor& row_sum, const Tensor& row_max, const Tensor& global_max);
void cross_entropy_loss(Ctx& ctx, const Tensor& loss, const Tensor& lse, const Tensor& row_max, const Tensor& row_sum,
                        const Tensor& target_logit);
void cross_entropy_backward(Ctx& ctx, const Tensor& logits, const Tensor& lse, const Tensor& targets,
                            const Tensor& weights, float scale, int64_t col_begin);
void weighted_sum(Ctx& ctx, const Tensor& sum, const Tensor& weights, const Tensor& loss);

}  // namespace trireme::cpu
