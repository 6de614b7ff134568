// CUDA kernel of the rotary positions; the contract is in ops/rope.h.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cuda {

/// A position outside the table makes NaNs.
void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse);

}  // namespace trireme::cuda
