// Tensors as 8-bit floats with one scale each, taken from their largest value as they are (current scaling): operands
// of products that run twice as fast.
#pragma once

#include "ops/measured.h"
#include "tensor/ctx.h"

namespace trireme {

/// A matrix (R, C) in e4m3 or e5m2: value = code * scale. GPUs multiply only what is stored along the sum, so that an
/// operand of several products is wanted both ways.
struct Float8 {
  Tensor rows;   // (R, C); undefined: not wanted
  Tensor cols;   // (C, R), the same codes transposed; undefined: not wanted
  Tensor scale;  // (1) f32
};

/// Writes `out` from x (R, C), bf16, contiguous; R and C multiples of 16. The largest magnitude becomes the format's
/// largest value; the rest is rounded to nearest even. A NaN or Inf in x makes values NaN. Where x is not measured,
/// that takes one more pass over it.
void quantize(Ctx& ctx, const Float8& out, const Measured& x);

/// Writes x.largest from x.values, bf16, contiguous, that start at a multiple of 16 bytes.
void measure(Ctx& ctx, const Measured& x);

}  // namespace trireme
