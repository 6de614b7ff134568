// CPU kernels of RMSNorm and LayerNorm; the contract is in ops/norm.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "ops/kernel_args.h"
#include "tensor/ctx.h"

namespace trireme::cpu {

/// Parameter gradients are summed within blocks of rows, then over the blocks in order. The blocks depend on the
/// number of rows only, which is what makes the sums independent of the number of threads.
inline int64_t norm_blocks(int64_t rows) { return std::clamp<int64_t>(ceil_div(rows, 64), 1, 64); }

void norm_forward(Ctx& ctx, const NormForward& a);
void norm_backward(Ctx& ctx, const NormBackward& a);

}  // namespace trireme::cpu
