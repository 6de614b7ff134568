#include "layers/linear.h"

#include "base/failpoint.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

ParamSpec weight_spec(const std::string& name, const LinearConfig& c) {
  ParamSpec spec{
      .name = name + ".weight", .shape = {c.out, c.in}, .init = Init::normal, .init_std = c.init_std, .decay = true};
  spec.split.dim = c.kind == LinearKind::column ? 0 : 1;
  spec.split.pieces = c.pieces;
  spec.split.parts = c.parts;
  if (c.kind == LinearKind::column) spec.split.chunks = c.chunks;
  return spec;
}

}  // namespace

Linear::Linear(const ParamBuilder& params, const std::string& name, const LinearConfig& config,
               const LayerGroups& groups)
    : weight_(params.add(weight_spec(name, config))), groups_(groups), kind_(config.kind) {
  if (!config.bias) return;
  ParamSpec spec{.name = name + ".bias", .shape = {config.out}, .init = Init::zeros};
  if (kind_ == LinearKind::column)
    spec.split = weight_.spec.split;
  else
    spec.grad_sum_tp = groups_.sequence_parallel();  // each rank sees its own rows
  bias_ = &params.add(spec);
}

void Linear::forward(Ctx& ctx, Tensor y, const Tensor& x, const Tensor* before_gelu) const {
  const ArenaScope scope(*ctx.temp);
  const bool row = kind_ == LinearKind::row, first = groups_.tp().rank() == 0;
  const bool adds_bias = bias_ != nullptr && (!row || first || failpoint("linear.bias_of_all_ranks"));
  const Tensor part = row ? groups_.partial(ctx, y) : y;
  matmul(ctx, part, row ? x : groups_.gather(ctx, x), weight_.value,
         {.transpose_b = true, .bias = adds_bias ? &bias_->value : nullptr, .before_gelu = before_gelu});
  if (row) groups_.sum(ctx, y, part);
}

void Linear::backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Tensor& x, const Tensor* before_gelu) const {
  const ArenaScope scope(*ctx.temp);
  const bool row = kind_ == LinearKind::row;
  if (bias_ != nullptr && bias_->grad.defined()) sum_rows(ctx, bias_->grad, dy);
  const Tensor dy_rows = row ? groups_.gather(ctx, dy) : dy;
  if (weight_.grad.defined())
    matmul(ctx, weight_.grad, dy_rows, row ? x : groups_.gather(ctx, x), {.transpose_a = true, .accumulate = true});
  if (!dx.defined()) return;
  const Tensor part = row ? dx : groups_.partial(ctx, dx);
  matmul(ctx, part, dy_rows, weight_.value, {.times_gelu_of = before_gelu});
  if (!row) groups_.sum(ctx, dx, part);
}

}  // namespace trireme
