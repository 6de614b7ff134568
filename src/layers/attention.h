// Causal self-attention with grouped key-value heads, optional RoPE and optional norms of q and k. Heads are split over
// the tensor-parallel ranks, tokens over the context-parallel ones.
#pragma once

#include <optional>

#include "layers/linear.h"
#include "layers/norm.h"
#include "tensor/batch.h"

namespace trireme {

struct AttentionConfig {
  int64_t hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool qkv_bias = false, out_bias = false;
  bool qk_norm = false;  // RMSNorm over each head's channels before RoPE (Qwen3)
  float norm_eps = 1e-6F;
  int64_t window = 0;
  float scale = 0;  // 0: 1 / sqrt(head_dim)
  float dropout = 0;
  float init_std = 0.02F, out_init_std = 0.02F;
  int layer = 0;              // index of the cache view
  uint64_t site = 0;          // random site of the dropout of probabilities
  bool sums_out_bias = true;  // of the output, as in LinearConfig
  bool float8 = false;        // as in LinearConfig
  bool keeps_inputs = false;  // float8: the linear layers keep their inputs, and backward needs no x
  Tensor rope_table;          // (positions, head_dim), see ops/rope.h; undefined: no RoPE
};

/// A tensor rank's heads, as indices of the model's. Key-value heads are dealt out, each with the query heads that read
/// it. Where there are more ranks than key-value heads, a rank has one of them, as other ranks do, and its part of the
/// query heads.
struct RankHeads {
  int64_t q_begin = 0, q = 0, kv_begin = 0, kv = 0;
};
RankHeads rank_heads(int64_t heads, int64_t kv_heads, int64_t ranks, int64_t rank);

class SelfAttention {
 public:
  struct Saved {
    Tensor qkv;  // (N, (H + 2K) D): after RoPE, or as projected where q and k are normed
    Tensor qk;   // (N, (H + K) D): q and k normed and rotated; undefined without norms
    Tensor out;  // (N, H D)
    Tensor lse;  // (N, H)
    Norm::Saved q_norm, k_norm;
    Linear::Saved qkv_input, out_input;
  };

  SelfAttention(const ParamBuilder& params, const AttentionConfig& config, const LayerGroups& groups);

  Tensor out_bias_gradient() const { return out_.bias_gradient(); }

  /// y (N, C), written, from x (N, C), own rows. With batch.kv the new keys and values join the cache and queries see
  /// all of it. Of `beside` the norm goes with the first product, the residual with the last.
  void forward(Ctx& ctx, Tensor y, const Measured& x, const Batch& batch, Saved& saved,
               const BesideLinear& beside = {}) const;
  /// dx (N, C), written. x: as in forward; not read where config.keeps_inputs.
  void backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Measured& x, const Batch& batch, const Saved& saved) const;

 private:
  struct Heads {
    Tensor q, k, v;  // (N, H, D), (N, K, D), (N, K, D): views
  };
  Heads split(const Tensor& qkv) const;
  Heads rotated(const Saved& saved) const;
  Tensor turned(const Tensor& qkv) const;

  AttentionConfig config_;
  LayerGroups groups_;
  RankHeads rank_;
  Linear qkv_, out_;
  std::optional<Norm> q_norm_, k_norm_;
};

}  // namespace trireme
