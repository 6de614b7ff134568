// The pre-norm transformer block of both families: x + attention(norm(x)), then x + mlp(norm(x)).
#pragma once

#include "layers/attention.h"
#include "layers/mlp.h"
#include "models/unit.h"

namespace trireme {

struct BlockConfig {
  AttentionConfig attention;
  MlpConfig mlp;
  NormKind norm = NormKind::rms_norm;
  float norm_eps = 1e-5F;
  float dropout = 0;                          // of both residual branches
  uint64_t attention_site = 0, mlp_site = 0;  // their random sites
  bool recompute_norms = false;               // save the input of a norm only
  bool float8 = false;                        // the linear layers save what they need of a norm
};

class Block final : public Unit {
 public:
  Block(const ParamBuilder& params, const BlockConfig& config, const LayerGroups& groups);

  bool sums(const Ctx& ctx, const Batch& batch) const override;
  void set_slots(int slots) override { saved_.resize(static_cast<size_t>(slots)); }
  void forward(Ctx& ctx, const Batch& batch, int slot, const Stream& in, Tensor x, const Stream& out) override;
  void backward(Ctx& ctx, const Batch& batch, int slot, Tensor g) override;

 private:
  struct Saved {
    Tensor x, normed;        // input of the block; its norm, undefined where it is not saved
    Tensor mid, mid_normed;  // x + attention; its norm
    Norm::Saved norm1, norm2;
    SelfAttention::Saved attention;
    Mlp::Saved mlp;
  };
  bool steps(const Ctx& ctx, const Batch& batch) const;
  void step(Ctx& ctx, const Batch& batch, Saved& s, const Stream& in, const Stream& out) const;
  Measured normed(Ctx& ctx, const Norm& norm, const Tensor& saved, const Tensor& x) const;
  Tensor branch_gradient(Ctx& ctx, const Batch& batch, const Tensor& g, uint64_t site) const;

  BlockConfig config_;
  LayerGroups groups_;
  Norm norm1_;
  SelfAttention attention_;
  Norm norm2_;
  Mlp mlp_;
  std::vector<Saved> saved_;
};

}  // namespace trireme
