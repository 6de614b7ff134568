// CPU kernels of attention; the contract is in ops/attention.h, the mask of dropout in ops/kernel_args.h.
#pragma once

#include "ops/attention.h"
#include "ops/kernel_args.h"

namespace trireme::cpu {

/// f32 scratch of one thread. It depends on the head size and dtypes only, not on any length.
int64_t attention_forward_floats(const Tensor& q, const Tensor& k);
int64_t attention_backward_floats(const Tensor& q, const Tensor& k);

/// `scratch` holds attention_forward_floats() for every thread.
void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, float* scratch);

void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, float* scratch);

}  // namespace trireme::cpu
