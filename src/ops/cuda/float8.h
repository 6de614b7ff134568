// CUDA kernels of the 8-bit floats; the contract is in ops/float8.h.
#pragma once

#include "ops/float8.h"

namespace trireme::cuda {

/// largest (1) f32, written.
void find_largest(Ctx& ctx, const Tensor& largest, const Tensor& x);

/// Where a kernel is about to raise it.
void clear_largest(Ctx& ctx, const Tensor& largest);

/// `largest` as find_largest wrote it.
void quantize(Ctx& ctx, const Float8& out, const Tensor& largest, const Tensor& x);

}  // namespace trireme::cuda
