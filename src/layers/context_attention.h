// Attention over tokens that are split over context ranks. Each rank has two chunks of every sample, one from the front
// and one from the back, so that all have the same number of (query, key) pairs under a causal mask; it gathers the
// keys and values of all ranks, which with grouped heads are small beside the queries, and sums their gradients back
// (as in Llama 3: Grattafiori et al., 2024, section 3.3.2).
#pragma once

#include "comm/group.h"
#include "ops/attention.h"

namespace trireme {

/// ops/attention.h for this rank's share of the batch: q, o and the like have its rows, k and v the same rows, unit
/// stride in D and heads next to each other. args.segments is not used; `share` says which rows see which keys.
void context_attention_forward(Ctx& ctx, Group& cp, Tensor o, Tensor lse, const Tensor& q, const Tensor& k,
                               const Tensor& v, const AttentionArgs& args, const ContextShare& share);

/// What backward reads and writes, shapes as in attention_backward.
struct ContextGradients {
  Tensor dq, dk, dv, d_o;
  Tensor q, k, v, o, lse;
};
void context_attention_backward(Ctx& ctx, Group& cp, const ContextGradients& g, const AttentionArgs& args,
                                const ContextShare& share);

}  // namespace trireme
