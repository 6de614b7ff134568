// RMSNorm (Zhang and Sennrich, 2019) and LayerNorm (Ba et al., 2016), each fused with the residual add in
// front of it: x = residual + delta, y = norm(x) * weight [+ bias]. Statistics in f32.
//
// Shapes: x, y, residual, delta (..., C) with any row strides (rank 2 or 3); weight, bias (C); rstd, mean:
// f32, contiguous, one value a row. An undefined `delta` means none: then x may be undefined too (not written)
// and the backward takes the residual as its x. x may alias residual or delta; y may alias nothing but
// residual where x is undefined. y is measured where asked.
#pragma once

#include "ops/measured.h"
#include "tensor/ctx.h"

namespace trireme {

/// A norm as an attribute: of what else is computed of its output (ops/matmul.h). An undefined bias: RMSNorm.
struct NormArgs {
  Tensor weight, bias;
  float eps = 0;
};

void rms_norm_forward(Ctx& ctx, const Measured& y, Tensor x, Tensor rstd, const Tensor& residual, const Tensor& delta,
                      const Tensor& weight, float eps);

/// The sums over the rows of a dx (N, C) that is added to, as it was and as it becomes: the gradients of biases that
/// were added to rows on either side of the norm. (C) f32, added; undefined: not wanted. On a GPU they cost no pass.
struct RowSums {
  Tensor before, after;
};

/// dx: ADDED if `accumulate`, else written (then it may alias dy); dweight (C) f32: added, may be undefined. `sums`
/// with accumulate only.
void rms_norm_backward(Ctx& ctx, Tensor dx, Tensor dweight, const Tensor& dy, const Tensor& x, const Tensor& weight,
                       const Tensor& rstd, bool accumulate, const RowSums& sums = {});

void layer_norm_forward(Ctx& ctx, const Measured& y, Tensor x, Tensor mean, Tensor rstd, const Tensor& residual,
                        const Tensor& delta, const Tensor& weight, const Tensor& bias, float eps);

/// dx as above; dweight, dbias (C) f32: added, may be undefined.
void layer_norm_backward(Ctx& ctx, Tensor dx, Tensor dweight, Tensor dbias, const Tensor& dy, const Tensor& x,
                         const Tensor& weight, const Tensor& mean, const Tensor& rstd, bool accumulate,
                         const RowSums& sums = {});

}  // namespace trireme
