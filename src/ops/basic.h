// Elementwise helpers. Rank 1 to 3, unit stride in the last dimension, f32, bf16 or f16 unless said.
#pragma once

#include <span>

#include "tensor/batch.h"
#include "tensor/ctx.h"

namespace trireme {

/// y = value.
void fill(Ctx& ctx, Tensor y, float value);
/// y = x, converted to y's dtype (round to nearest even). Same shape.
void copy(Ctx& ctx, Tensor y, const Tensor& x);
/// y = a + b; y may alias either.
void add(Ctx& ctx, Tensor y, const Tensor& a, const Tensor& b);
/// y *= factor.
void scale(Ctx& ctx, Tensor y, float factor);

/// y = keep ? x / (1 - p) : 0; y may alias x. x (N, C). Element (n, c) is kept by the random bits of
/// (ctx.seed, site, ctx.step, sample_ids[n], positions[n], channel_begin + c), so forward, backward and recompute draw
/// the same mask and nothing is stored. Does nothing but copy where p == 0 or !ctx.train.
void dropout(Ctx& ctx, Tensor y, const Tensor& x, float p, uint64_t site, const Batch& batch,
             int64_t channel_begin = 0);

/// sum (1) f64, written: the sum of squares of contiguous tensors in double, one after the other, each in an order that
/// depends on its size only.
void sum_squares(Ctx& ctx, Tensor sum, std::span<const Tensor> xs);
/// Index of the first NaN or Inf of a contiguous tensor, or -1. Waits for the result.
int64_t find_nonfinite(Ctx& ctx, const Tensor& x);

}  // namespace trireme
