#include "layers/linear.h"

#include "ops/matmul.h"

namespace trireme {
namespace {

ParamSpec weight_spec(const std::string& name, const LinearConfig& c) {
  ParamSpec spec{
      .name = name + ".weight", .shape = {c.out, c.in}, .init = Init::normal, .init_std = c.init_std, .decay = true};
  spec.split.dim = c.kind == LinearKind::column ? 0 : 1;
  spec.split.unit = c.unit;
  if (c.kind == LinearKind::column) spec.split.chunks = c.chunks;
  return spec;
}

}  // namespace

Linear::Linear(const ParamBuilder& params, const std::string& name, const LinearConfig& config, Group& tp)
    : weight_(params.add(weight_spec(name, config))), tp_(tp), kind_(config.kind) {
  if (!config.bias) return;
  ParamSpec spec{.name = name + ".bias", .shape = {config.out}, .init = Init::zeros};
  if (kind_ == LinearKind::column) spec.split = weight_.spec.split;
  bias_ = &params.add(spec);
}

void Linear::forward(Ctx& ctx, Tensor y, const Tensor& x) const {
  const bool adds_bias = bias_ != nullptr && (kind_ == LinearKind::column || tp_.rank() == 0);
  matmul(ctx, y, x, weight_.value, {.transpose_b = true, .bias = adds_bias ? &bias_->value : nullptr});
  if (kind_ == LinearKind::row && tp_.size() > 1) tp_.all_reduce(y, ReduceOp::sum);
}

void Linear::backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Tensor& x) const {
  if (weight_.grad.defined()) matmul(ctx, weight_.grad, dy, x, {.transpose_a = true, .accumulate = true});
  if (bias_ != nullptr && bias_->grad.defined()) sum_rows(ctx, bias_->grad, dy);
  if (!dx.defined()) return;
  matmul(ctx, dx, dy, weight_.value);
  if (kind_ == LinearKind::column && tp_.size() > 1) tp_.all_reduce(dx, ReduceOp::sum);
}

}  // namespace trireme
