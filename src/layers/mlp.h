// The feed-forward half of a block: GELU (GPT) or SwiGLU (Llama; Shazeer, 2020). Column-parallel in, row-parallel out.
#pragma once

#include "layers/linear.h"

namespace trireme {

enum class MlpKind : uint8_t { gelu, swiglu };

struct MlpConfig {
  MlpKind kind = MlpKind::gelu;
  int64_t hidden = 0, intermediate = 0;
  bool bias = false;
  float init_std = 0.02F, out_init_std = 0.02F;
  bool recompute_activation = false;  // save only the input of the activation
  bool sums_out_bias = true;          // of `down`, as in LinearConfig
  bool float8 = false;                // as in LinearConfig
  bool keeps_input = false;           // float8: `up` keeps its input, and backward needs no x
};

class Mlp {
 public:
  struct Saved {
    Tensor up;   // (N, F) or (N, 2F), whole rows: input of the activation
    Tensor act;  // (N, F): its output; undefined where it is recomputed, or `down` holds it
    Linear::Saved up_input, down_input;
  };

  /// Declares `up` (SwiGLU: gate and up in one) and `down`.
  Mlp(const ParamBuilder& params, const MlpConfig& config, const LayerGroups& groups);

  Tensor out_bias_gradient() const { return down_.bias_gradient(); }

  /// y (N, C), written, from x (N, C), own rows. y undefined: only what backward needs is computed. Of `beside`
  /// the norm goes with the first product, the residual with the last.
  void forward(Ctx& ctx, Tensor y, const Measured& x, Saved& saved, const BesideLinear& beside = {}) const;
  /// dx (N, C), written. x: as in forward; not read where config.keeps_input.
  void backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Measured& x, const Saved& saved) const;

 private:
  void activate(Ctx& ctx, const Measured& act, const Tensor& up) const;
  MlpConfig config_;
  LayerGroups groups_;
  Linear up_, down_;
};

}  // namespace trireme
