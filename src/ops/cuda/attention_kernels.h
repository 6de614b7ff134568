// Attention by kernels of our own: any segments, window, offsets, dropout and types; arithmetic in f32. For what cuDNN
// is not asked to do.
#pragma once

#include "ops/attention.h"
#include "ops/kernel_args.h"

namespace trireme::cuda {

/// `segments`: args.segments.size() of them in device memory.
void attention_forward_kernel(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k,
                              const Tensor& v, const AttentionArgs& args, const Segment* segments);
void attention_backward_kernel(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args,
                               const Segment* segments);

}  // namespace trireme::cuda
