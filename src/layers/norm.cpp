#include "layers/norm.h"

namespace trireme {
namespace {
int64_t num_rows(const Tensor& x) { return x.numel() / x.size(x.rank() - 1); }
}  // namespace

Norm::Norm(const ParamBuilder& params, const std::string& name, NormKind kind, int64_t channels, float eps,
           bool grad_sum_tp)
    : kind_(kind),
      eps_(eps),
      weight_(
          params.add({.name = name + ".weight", .shape = {channels}, .init = Init::ones, .grad_sum_tp = grad_sum_tp})) {
  if (kind == NormKind::layer_norm)
    bias_ = &params.add({.name = name + ".bias", .shape = {channels}, .init = Init::zeros, .grad_sum_tp = grad_sum_tp});
}

void Norm::run(Ctx& ctx, const Measured& y, Tensor x, const Tensor& residual, const Tensor& delta,
               const Saved& saved) const {
  if (kind_ == NormKind::rms_norm)
    rms_norm_forward(ctx, y, x, saved.rstd, residual, delta, weight_.value, eps_);
  else
    layer_norm_forward(ctx, y, x, saved.mean, saved.rstd, residual, delta, weight_.value, bias_->value, eps_);
}

void Norm::forward(Ctx& ctx, const Measured& y, Tensor x, const Tensor& residual, const Tensor& delta,
                   Saved& saved) const {
  saved.rstd = ctx.keep->take(DType::f32, {num_rows(residual)});
  if (kind_ == NormKind::layer_norm) saved.mean = ctx.keep->take(DType::f32, {num_rows(residual)});
  run(ctx, y, x, residual, delta, saved);
}

void Norm::recompute(Ctx& ctx, const Measured& y, const Tensor& x) const {
  const ArenaScope scope(*ctx.temp);
  Saved again;
  again.rstd = ctx.temp->take(DType::f32, {num_rows(x)});
  if (kind_ == NormKind::layer_norm) again.mean = ctx.temp->take(DType::f32, {num_rows(x)});
  run(ctx, y, {}, x, {}, again);
}

void Norm::backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Tensor& x, const Saved& saved, bool accumulate,
                    const RowSums& sums) const {
  if (kind_ == NormKind::rms_norm)
    rms_norm_backward(ctx, dx, weight_.grad, dy, x, weight_.value, saved.rstd, accumulate, sums);
  else
    layer_norm_backward(ctx, dx, weight_.grad, bias_->grad, dy, x, weight_.value, saved.mean, saved.rstd, accumulate,
                        sums);
}

}  // namespace trireme
