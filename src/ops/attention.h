// Exact attention in blocks with a running softmax (Dao et al., FlashAttention-2, 2023): no T x T matrix is
// ever stored. Works on segments of a packed token axis, grouped key-value heads, an optional window.
#pragma once

#include <span>

#include "tensor/batch.h"
#include "tensor/ctx.h"

namespace trireme {

struct AttentionArgs {
  std::span<const Segment> segments;
  float scale = 1;
  bool causal = true;
  int64_t window = 0;      // a query at position p sees keys at p-window+1 .. p; 0: no limit
  float dropout = 0;       // of the probabilities, when ctx.train
  uint64_t site = 0;       // random site of the dropout
  Tensor sample_ids;       // (Nq) i64, of the queries; used by dropout only
  int64_t head_begin = 0;  // global index of this rank's first query head: part of the dropout key
};

/// o (Nq, H, D) = softmax(scale * q k^T) v over each segment; lse (Nq, H) f32 = log-sum-exp of the scaled
/// scores (-inf and o = 0 where a query sees no key). q (Nq, H, D); k, v (Nk, K, D), H a multiple of K:
/// query head h reads key-value head h / (H / K). Unit stride in D, any others. Rows outside all segments
/// are not written. Dropout keys are (seed, site, step, sample id, head, query position, key position).
void attention_forward(Ctx& ctx, Tensor o, Tensor lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args);

struct DecodeArgs {
  float scale = 1;
  int64_t window = 0;  // as above
  Tensor rope_table;   // of ops/rope.h; undefined: none
  Tensor positions;    // (N) i32: of each token, and the number of keys before it
  Tensor cache_rows;   // (N) i32: the cache's row of its sequence's first key
};

/// One new token of each of N sequences: q (N, H, D) and k (N, K, D) are turned by their positions, k and v (N, K, D)
/// join the cache (rows, K, D), and o (N, H, D) is the attention of each query to its sequence's keys. All that changes
/// from token to token lies in tensors, so that on a GPU the same work can be asked for again. q and k are left turned
/// or as they were.
void decode_attention(Ctx& ctx, Tensor o, const Tensor& q, const Tensor& k, const Tensor& v, const KvView& cache,
                      const DecodeArgs& args);

/// dq, dk, dv (shapes of q, k, v), written, from d_o and what the forward returned. dk and dv sum over the
/// query heads of their group in head order: repeatable bit for bit at any number of threads.
void attention_backward(Ctx& ctx, Tensor dq, Tensor dk, Tensor dv, const Tensor& d_o, const Tensor& q, const Tensor& k,
                        const Tensor& v, const Tensor& o, const Tensor& lse, const AttentionArgs& args);

}  // namespace trireme
