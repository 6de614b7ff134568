// CPU kernels of attention; the contract is in ops/attention.h.
//
// Dropout, exactly: with key RandomKey::of(seed, mix64(site, global head), step), the query at position p of sample s
// draws the Philox blocks draw(hi = mix64(s, p), lo = key position / 4); word (key position % 4) of its block decides:
// kept where (word >> 8) >= dropout_threshold(dropout) of ops/cpu/dropout.h. Every backend must draw this same mask.
#pragma once

#include "ops/attention.h"

namespace trireme::cpu {

/// Query-key pairs of one head that take part.
int64_t visible_pairs(const AttentionArgs& args);

/// f32 scratch of one thread. It depends on the head size and dtypes only, not on any length.
int64_t attention_forward_floats(const Tensor& q, const Tensor& k);
int64_t attention_backward_floats(const Tensor& q, const Tensor& k);

/// `scratch` holds attention_forward_floats() for every thread.
void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, float* scratch);

struct AttentionGradients {
  Tensor dq, dk, dv;
  Tensor dq_sum;  // (Nq, H, D) f32: dq itself where that is f32
  Tensor delta;   // (Nq, H) f32: scratch
  Tensor d_o, q, k, v, o, lse;
};

void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, float* scratch);

}  // namespace trireme::cpu
