// Products of bf16 with SwiGLU, or its backward, in the same pass, on compute capability 9.0: gate and up are written
// forward and read backward while the tensor cores are at the next tile. Rounded as by the product and
// the op, one after the other.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

/// Whether such a kernel is written for this product: forward with options.swiglu, x . W^T with gate and up of
/// multiples of 128 columns; backward with options.before_swiglu, dy . W, of multiples of 256. The rest is free.
bool fits_gated(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

/// And whether this GPU and this build have it.
bool has_gated(const CudaContext& context);

/// As ops/matmul.h has it; backward c is not written.
void gated_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

}  // namespace trireme::cuda
