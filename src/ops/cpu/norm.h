// CPU kernels of RMSNorm and LayerNorm; the contract is in ops/norm.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "tensor/ctx.h"

namespace trireme::cpu {

/// `mean` defined: LayerNorm (with `bias`); else RMSNorm. `x` is written where `delta` is defined.
struct NormForward {
  Tensor y, x, mean, rstd, residual, delta, weight, bias;
  float eps = 0;
};

/// The partial sums (norm_blocks(rows), C) f32 are scratch, defined where the gradient they lead to is.
struct NormBackward {
  Tensor dx, dweight, dbias, dy, x, weight, mean, rstd;
  bool accumulate = false;
  Tensor partial_dweight, partial_dbias;
};

/// Parameter gradients are summed within blocks of rows, then over the blocks in order. The blocks depend on the
/// number of rows only, which is what makes the sums independent of the number of threads.
inline int64_t norm_blocks(int64_t rows) { return std::clamp<int64_t>(ceil_div(rows, 64), 1, 64); }

void norm_forward(Ctx& ctx, const NormForward& a);
void norm_backward(Ctx& ctx, const NormBackward& a);

}  // namespace trireme::cpu
