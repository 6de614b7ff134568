// CUDA kernels of attention; the contract is in ops/attention.h. Equal causal sequences in 16-bit types go to cuDNN,
// everything else (f32, windows, packed or offset segments, dropout, a key-value cache) to kernels of our own.
#pragma once

#include "ops/attention.h"
#include "ops/kernel_args.h"

namespace trireme::cuda {

/// Bytes of scratch that a call may take. They depend on shapes and dtypes, never on what is installed, so that a plan
/// made on any machine fits.
int64_t attention_forward_scratch(const Tensor& q, const Tensor& k, const AttentionArgs& args);
int64_t attention_backward_scratch(const Tensor& q, const Tensor& k, const AttentionArgs& args);

void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, const Tensor& scratch);

/// g.dq_sum is not used.
void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, const Tensor& scratch);

}  // namespace trireme::cuda
