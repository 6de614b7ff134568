// Products of bf16 with GELU, SwiGLU or the backward of either in the same pass, on compute capability 9.0: what goes
// with a product is computed, read and written while the tensor cores are at the next tile. Rounded as by the product
// and the op, one after the other.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

/// Whether such a kernel is written for this product: forward x . W^T with options.before_gelu (and a bf16 bias) or
/// swiglu, backward dy . W with times_gelu_of (and bias_gradient) or before_swiglu. Columns, of gate and up each, are
/// multiples of 8, and rows begin at multiples of 16 bytes; the rest is free. `workspace`: as below.
bool fits_fused(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options,
                const Tensor& workspace);

/// And whether this GPU and this build have it.
bool has_fused(const CudaContext& context);

/// As ops/matmul.h has it; with before_swiglu c is not written. The workspace takes partial sums of a bias's gradient.
void fused_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options,
                  const Tensor& workspace);

}  // namespace trireme::cuda
