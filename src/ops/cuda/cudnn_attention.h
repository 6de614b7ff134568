// Attention of cuDNN for whole causal sequences of one length. Linked to cudnn_attention.cpp, or to no_cudnn.cpp where
// cuDNN or its front end's headers are not installed: then nothing is taken.
#pragma once

#include "ops/cuda/attention.h"

namespace trireme::cuda {

/// False: cuDNN does not take this call, and nothing was done. `stats` (count, H, length) f32: the log-sum-exp in
/// cuDNN's order. `workspace`: u8. On the meta device only the graph is built, which later calls use.
bool cudnn_attention_forward(Ctx& ctx, const Tensor& o, const Tensor& stats, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionArgs& args, const Tensor& workspace);
bool cudnn_attention_backward(Ctx& ctx, const AttentionGradients& g, const Tensor& stats, const AttentionArgs& args,
                              const Tensor& workspace);

/// Graphs built so far, those that cuDNN refused counted too.
int64_t cudnn_attention_graphs(CudaContext& context);

}  // namespace trireme::cuda
