// CUDA kernels of attention; the contract is in ops/attention.h. Equal causal sequences in 16-bit types go to cuDNN,
// everything else (f32, windows, packed or offset segments, dropout, a key-value cache) to kernels of our own.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "ops/attention.h"
#include "ops/kernel_args.h"

namespace trireme::cuda {

/// Whole sequences of one length that follow each other without a gap, each attending to itself.
struct EqualSequences {
  int64_t count = 0, length = 0;  // count 0: the segments are of another kind
};

inline EqualSequences equal_sequences(const AttentionArgs& args, int64_t query_rows, int64_t key_rows) {
  if (args.segments.empty()) return {};
  const int64_t length = args.segments[0].q_len;
  int64_t at = 0;
  for (const Segment& s : args.segments) {
    if (s.q_begin != at || s.k_begin != at || s.q_len != length || s.k_len != length || s.q_pos != s.k_pos) return {};
    at += length;
  }
  if (at != query_rows || at != key_rows) return {};
  return {static_cast<int64_t>(args.segments.size()), length};
}

/// More than this is not spent to make cuDNN's backward deterministic: then our own kernels do it.
constexpr int64_t kMostDeterministicBytes = int64_t{8} << 30;
constexpr int64_t kCudnnWorkspace = int64_t{32} << 20;  // bytes for what cuDNN needs beyond the sums below

/// Bytes of scratch that a call may take. They depend on shapes only, never on what is installed, so that a plan made
/// on any machine fits: the segments; for cuDNN its form of the log-sum-exp, and in the backward dq and delta in f32,
/// and dk and dv of all query heads where those share keys.
inline int64_t attention_forward_scratch(const Tensor& q, const AttentionArgs& args) {
  return static_cast<int64_t>(args.segments.size() * sizeof(Segment)) + 2 * kAlignment +
         q.size(0) * q.size(1) * dtype_size(DType::f32) + (q.dtype == DType::f32 ? 0 : kCudnnWorkspace);
}
inline int64_t attention_backward_scratch(const Tensor& q, const Tensor& k, const AttentionArgs& args,
                                          bool deterministic) {
  const int64_t common = attention_forward_scratch(q, args);
  if (q.dtype == DType::f32) return common;
  const int64_t shared = q.size(1) == k.size(1) ? 0 : 2 * q.numel() * dtype_size(q.dtype);
  const int64_t dq = q.numel() * dtype_size(DType::f32), delta = q.size(0) * q.size(1) * dtype_size(DType::f32);
  // Deterministic, cuDNN keeps dq apart for each of its tiles of 128 keys, and adds them in order.
  const int64_t length = args.segments.empty() ? 0 : args.segments[0].k_len;
  const int64_t tiles = deterministic ? std::max<int64_t>(1, ceil_div(length, 128)) : 1;
  return common + std::min(tiles * dq, std::max(dq, kMostDeterministicBytes)) + delta + shared;
}

/// On the meta device both only build what calls of these shapes ask of cuDNN, which takes tenths of a second.
void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, const Tensor& scratch);

/// g.dq_sum is not used.
void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, const Tensor& scratch);

}  // namespace trireme::cuda
