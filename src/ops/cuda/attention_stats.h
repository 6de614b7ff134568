// The log-sum-exp between our order, a row a token, and cuDNN's, a row a sequence and head.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cuda {

/// lse (count * length, H) = stats (count, H, length), both f32.
void lse_from_stats(Ctx& ctx, const Tensor& lse, const Tensor& stats);
void stats_from_lse(Ctx& ctx, const Tensor& stats, const Tensor& lse);

}  // namespace trireme::cuda
