// Output projection, cross-entropy and their gradients at once ("fused linear cross-entropy").
#pragma once

#include "tensor/ctx.h"

namespace trireme {

/// With logits l = x . W^T, loss = log(sum_j exp(l_j)) - l_target in each row, the gradients of
/// sum(scale * weights * loss).
struct LinearCrossEntropy {
  Tensor loss;              // (N) f32, written
  Tensor dx;                // (N, C), written, rows of any stride; must not overlap x
  Tensor dweight;           // (V, C) f32, or undefined: not wanted
  bool accumulate = false;  // dweight += instead of dweight =
  Tensor x, weight;         // (N, C), (V, C)
  Tensor targets, weights;  // (N) i32, (N) f32; a target outside [0, V) may have weight 0 only
  float scale = 1;
};

/// matmul, cross_entropy (ops/loss.h) and two more products, with logits in x's type. On a GPU of compute capability
/// 9.0 and in bf16 the logits are never written: with m a reference near the largest of a row, mostly the target's,
///   g_j = exp(l_j - m), S = sum_j g_j, loss = m - l_target + log(S), g_target -= S,
///   dW = g^T . (scale * weights / S x), dx = scale * weights / S (g . W),
/// where exp and S are of sums in f32, and g and its factor times x are rounded to bf16.
void linear_cross_entropy(Ctx& ctx, const LinearCrossEntropy& a);

/// Scratch for logits (N, V) whose rows begin where products want them, whatever V.
Tensor take_logits(Ctx& ctx, DType dtype, int64_t n, int64_t v);

}  // namespace trireme
