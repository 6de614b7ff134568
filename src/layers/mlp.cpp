#include "layers/mlp.h"

#include "ops/activation.h"

namespace trireme {
namespace {

LinearConfig up_config(const MlpConfig& c) {
  LinearConfig up{
      .in = c.hidden, .out = c.intermediate, .kind = LinearKind::column, .bias = c.bias, .init_std = c.init_std};
  up.float8 = c.float8;
  up.sums_bias = c.float8 || c.kind != MlpKind::gelu;  // else it is summed where GELU's gradient is worked out
  if (c.kind == MlpKind::swiglu) {
    up.out = 2 * c.intermediate;
    up.chunks = {c.intermediate, c.intermediate};
  }
  return up;
}

}  // namespace

Mlp::Mlp(const ParamBuilder& params, const MlpConfig& config, const LayerGroups& groups)
    : config_(config),
      groups_(groups),
      up_(params, config.kind == MlpKind::swiglu ? "gate_up" : "up", up_config(config), groups),
      down_(params, "down",
            {.in = config.intermediate,
             .out = config.hidden,
             .kind = LinearKind::row,
             .bias = config.bias,
             .init_std = config.out_init_std,
             .sums_bias = config.sums_out_bias,
             .float8 = config.float8},
            groups) {}

void Mlp::activate(Ctx& ctx, const Measured& act, const Tensor& up) const {
  if (config_.kind == MlpKind::swiglu)
    swiglu_forward(ctx, act, up);
  else
    gelu_forward(ctx, act, up);
}

void Mlp::forward(Ctx& ctx, Tensor y, const Measured& x, Saved& saved, const BesideLinear& beside) const {
  const DType dtype = x.values.dtype;
  const int64_t n = groups_.whole_rows(x.values.size(0));
  saved.up = ctx.keep->take(dtype, {n, up_.local_out()});
  const ArenaScope scope(*ctx.temp);
  const bool codes = config_.float8 && !config_.recompute_activation;  // instead of the activation
  const bool keeps_act = !config_.recompute_activation && !(codes && y.defined());
  const Tensor act = (keeps_act ? ctx.keep : ctx.temp)->take(dtype, {n, down_.local_in()});
  const Measured input = to_measure(*ctx.temp, act, config_.float8 && y.defined());
  Linear::Saved* up_input = config_.keeps_input ? &saved.up_input : nullptr;
  if (config_.float8) {
    up_.forward(ctx, saved.up, x, up_input);
    activate(ctx, input, saved.up);
  } else if (config_.kind == MlpKind::swiglu) {
    up_.forward(ctx, saved.up, x, up_input, {.swiglu = &act, .norm = beside.norm});
  } else {
    up_.forward(ctx, act, x, up_input, {.before_gelu = &saved.up, .norm = beside.norm});
  }
  saved.act = keeps_act ? act : Tensor();
  saved.down_input = {};
  if (y.defined()) down_.forward(ctx, y, input, codes ? &saved.down_input : nullptr, {.residual = beside.residual});
}

void Mlp::backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Measured& x, const Saved& saved) const {
  const ArenaScope scope(*ctx.temp);
  const Shape shape{saved.up.size(0), down_.local_in()};
  const Tensor dact = ctx.temp->take(dy.dtype, shape);
  const bool swiglu = config_.kind == MlpKind::swiglu;
  // The gradient overwrites what was saved: nothing reads it after this.
  if (swiglu && !config_.float8 && !saved.act.defined()) {
    // Where its gradient is worked out, the activation comes again for one more write, in its gradient's place.
    down_.backward_making_x(ctx, dact, dy, [&] {
      swiglu_backward(ctx, saved.up, dact, saved.up, dact);
      return dact;
    });
    return up_.backward(ctx, dx, saved.up, x, saved.up_input);
  }
  BeforeActivation before;
  if (!config_.float8 && swiglu) before.swiglu = &saved.up;
  if (!config_.float8 && !swiglu) before = {.gelu = &saved.up, .bias_gradient = up_.bias_gradient()};
  if (saved.act.defined() || saved.down_input.cols.defined()) {
    down_.backward(ctx, dact, dy, saved.act, saved.down_input, before);
  } else {
    const ArenaScope inner(*ctx.temp);
    const Measured act = to_measure(*ctx.temp, ctx.temp->take(dy.dtype, shape), config_.float8);
    activate(ctx, act, saved.up);
    down_.backward(ctx, dact, dy, act, {}, before);
  }
  const Measured dup = to_measure(*ctx.temp, swiglu ? saved.up : dact, config_.float8);
  if (config_.float8 && swiglu) swiglu_backward(ctx, dup, dact, saved.up);
  if (config_.float8 && !swiglu) gelu_backward(ctx, dup, dact, saved.up);
  up_.backward(ctx, dx, dup, x, saved.up_input);
}

}  // namespace trireme
