// RMSNorm or LayerNorm, fused with the residual add in front of it.
#pragma once

#include "ops/norm.h"
#include "params/spec.h"
#include "tensor/ctx.h"

namespace trireme {

enum class NormKind : uint8_t { rms_norm, layer_norm };

class Norm {
 public:
  struct Saved {
    Tensor mean, rstd;  // f32, one value a row; mean of LayerNorm only
  };

  /// Declares `<name>.weight` (C) and, for LayerNorm, `<name>.bias`. `grad_sum_tp`: each tensor rank sees only part of
  /// the rows (the heads, or the own rows under sequence parallelism).
  Norm(const ParamBuilder& params, const std::string& name, NormKind kind, int64_t channels, float eps,
       bool grad_sum_tp = false);

  /// x = residual + delta, y = norm(x); see ops/norm.h. Statistics come from ctx.keep.
  void forward(Ctx& ctx, const Measured& y, Tensor x, const Tensor& residual, const Tensor& delta, Saved& saved) const;
  /// As a product takes it along (ops/matmul.h): norm(x) without delta, and nothing saved.
  NormArgs args() const { return {weight_.value, bias_ != nullptr ? bias_->value : Tensor(), eps_}; }
  /// y again from x, with the bits of forward: for cheap recompute.
  void recompute(Ctx& ctx, const Measured& y, const Tensor& x) const;
  /// dx: added if `accumulate`, else written (may alias dy). `sums`: of dx's rows, see ops/norm.h.
  void backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Tensor& x, const Saved& saved, bool accumulate,
                const RowSums& sums = {}) const;

 private:
  void run(Ctx& ctx, const Measured& y, Tensor x, const Tensor& residual, const Tensor& delta,
           const Saved& saved) const;
  NormKind kind_;
  float eps_;
  Param& weight_;
  Param* bias_ = nullptr;
};

}  // namespace trireme
