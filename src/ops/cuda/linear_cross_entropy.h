// The projection of ops/linear_cross_entropy.h whose tiles end in exponentials (compute capability 9.0).
#pragma once

#include "ops/linear_cross_entropy.h"

namespace trireme::cuda {

constexpr int64_t kCrossEntropyColumns = 192;  // that one partial sum is over

/// What comes of the first product. The reference of a row is the target's logit plus `above`, which is 0 unless the
/// row has logits so far above the target's that their exponentials are of no use.
struct CrossEntropyParts {
  Tensor g;                            // (N, V) bf16, rows that begin at multiples of 16 bytes
  Tensor partial;                      // (ceil(V / kCrossEntropyColumns), N) f32: sums of g but for the target's
  Tensor target_logit, above, factor;  // (N) f32
  Tensor again;                        // (1) i32: whether any `above` is not 0
};

/// Whether this GPU and this build have it, for these tensors.
bool has_linear_cross_entropy(const CudaContext& context, const LinearCrossEntropy& a);

/// Writes a.loss and parts: g and the factors of its rows, which make gradients of it.
void linear_cross_entropy(Ctx& ctx, const LinearCrossEntropy& a, const CrossEntropyParts& parts);

/// y = factor (N) * x, row by row; 0 where the factor is, whatever x. y may be x.
void scale_rows(Ctx& ctx, const Tensor& y, const Tensor& x, const Tensor& factor);

}  // namespace trireme::cuda
