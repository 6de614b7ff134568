#include "layers/linear.h"

#include "base/failpoint.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

ParamSpec weight_spec(const std::string& name, const LinearConfig& c) {
  ParamSpec spec{
      .name = name + ".weight", .shape = {c.out, c.in}, .init = Init::normal, .init_std = c.init_std, .decay = true};
  spec.grad_is_product = true;
  spec.measured = c.float8;
  spec.split.dim = c.kind == LinearKind::column ? 0 : 1;
  spec.split.pieces = c.pieces;
  spec.split.parts = c.parts;
  if (c.kind == LinearKind::column) spec.split.chunks = c.chunks;
  return spec;
}

/// x in 8-bit floats, by rows and transposed as wanted, from an arena.
Float8 quantized(Ctx& ctx, Arena& arena, DType dtype, const Measured& x, bool rows, bool cols) {
  const Shape& shape = x.values.shape;
  Float8 out;
  out.scale = arena.take(DType::f32, {1});
  if (rows) out.rows = arena.take(dtype, shape);
  if (cols) out.cols = arena.take(dtype, {shape[1], shape[0]});
  quantize(ctx, out, x);
  return out;
}

/// The operand of a product with `weight`^T: its codes by rows. With `saved` also the transposed ones, kept there.
Float8 quantized_input(Ctx& ctx, const Measured& x, Linear::Saved* saved) {
  if (saved == nullptr) return quantized(ctx, *ctx.temp, DType::e4m3, x, true, false);
  const Shape& shape = x.values.shape;
  saved->cols = ctx.keep->take(DType::e4m3, {shape[1], shape[0]});
  saved->scale = ctx.keep->take(DType::f32, {1});
  const Float8 both{ctx.temp->take(DType::e4m3, shape), saved->cols, saved->scale};
  quantize(ctx, both, x);
  return both;
}

/// Those of the product that has x's gradient.
MatmulOptions options_of(const BeforeActivation& before) {
  return {.times_gelu_of = before.gelu,
          .bias_gradient = before.bias_gradient.defined() ? &before.bias_gradient : nullptr,
          .before_swiglu = before.swiglu};
}

}  // namespace

Linear::Linear(const ParamBuilder& params, const std::string& name, const LinearConfig& config,
               const LayerGroups& groups)
    : weight_(params.add(weight_spec(name, config))),
      groups_(groups),
      kind_(config.kind),
      sums_bias_(config.sums_bias),
      float8_(config.float8) {
  if (float8_ && (local_in() % 16 != 0 || local_out() % 16 != 0))
    throw ConfigError(cat("precision.linear_dtype=float8 wants sizes that are multiples of 16, but ", weight_.spec.name,
                          " of a rank is (", local_out(), ", ", local_in(), "); leave it out"));
  if (!config.bias) return;
  ParamSpec spec{.name = name + ".bias", .shape = {config.out}, .init = Init::zeros};
  if (kind_ == LinearKind::column)
    spec.split = weight_.spec.split;
  else
    spec.grad_sum_tp = groups_.sequence_parallel();  // each rank sees its own rows
  bias_ = &params.add(spec);
}

void Linear::forward(Ctx& ctx, Tensor y, const Measured& x, Saved* saved, const BesideLinear& beside) const {
  const auto& [before_gelu, swiglu, residual, norm] = beside;
  CHECK((residual == nullptr && norm == nullptr) || groups_.tp().size() == 1, weight_.spec.name,
        " of several ranks takes no residual and no norm along");
  CHECK(!float8_ || (residual == nullptr && norm == nullptr && before_gelu == nullptr && swiglu == nullptr),
        weight_.spec.name, ": nothing comes beside a product of 8-bit floats");
  const ArenaScope scope(*ctx.temp);
  const bool row = kind_ == LinearKind::row, first = groups_.tp().rank() == 0;
  const bool adds_bias = bias_ != nullptr && (!row || first || failpoint("linear.bias_of_all_ranks"));
  const Tensor part = row ? groups_.partial(ctx, y) : y;
  MatmulOptions options{.transpose_b = true,
                        .bias = adds_bias ? &bias_->value : nullptr,
                        .norm = norm,
                        .residual = residual,
                        .before_gelu = before_gelu,
                        .swiglu = swiglu};
  const Measured input = row ? x : whole(ctx, x);
  if (saved != nullptr) *saved = {};
  if (float8_) {
    const Float8 a = quantized_input(ctx, input, saved);
    const Float8 b = quantized(ctx, *ctx.temp, DType::e4m3, measured_weight(ctx), true, false);
    options.a_scale = &a.scale;
    options.b_scale = &b.scale;
    matmul(ctx, part, a.rows, b.rows, options);
  } else {
    matmul(ctx, part, input.values, weight_.value, options);
  }
  if (row) groups_.sum(ctx, y, part);
}

void Linear::backward(Ctx& ctx, Tensor dx, const Measured& dy, const Measured& x, const Saved& saved,
                      const BeforeActivation& before) const {
  const ArenaScope scope(*ctx.temp);
  const Measured dy_rows = rows_of(ctx, dy);
  if (float8_) return backward8(ctx, dx, dy_rows, x, saved);
  add_gradient(ctx, dy_rows.values, x.values);
  if (dx.defined()) put_dx(ctx, dx, dy_rows.values, before);
}

void Linear::backward_making_x(Ctx& ctx, Tensor dx, const Tensor& dy, FunctionRef<Tensor()> make_x) const {
  CHECK(!float8_, "8-bit products read x before dx is there");
  const ArenaScope scope(*ctx.temp);
  const Tensor dy_rows = rows_of(ctx, dy).values;
  put_dx(ctx, dx, dy_rows, {});
  add_gradient(ctx, dy_rows, make_x());
}

/// The whole rows of what has own rows between two matrices. What is gathered is more than what was measured.
Measured Linear::whole(Ctx& ctx, const Measured& x) const {
  return groups_.sequence_parallel() ? groups_.gather(ctx, x.values) : x;
}

/// The weight with its largest magnitude, which is looked for by the first product since the values changed.
Measured Linear::measured_weight(Ctx& ctx) const {
  const Measured weight(weight_.value, weight_.largest);
  if (weight.largest.defined() && !weight_.has_largest()) measure(ctx, weight);
  return weight;
}

/// Whole rows of dy, whose sum is added to the bias's gradient where that is left to us.
Measured Linear::rows_of(Ctx& ctx, const Measured& dy) const {
  Measured seen = dy;
  if (sums_bias_ && bias_gradient().defined()) {
    const Measured looked = to_measure(*ctx.temp, dy.values, float8_ && !dy.largest.defined());
    sum_rows(ctx, bias_->grad, dy.values, looked.largest);  // reads all of dy, so it looks along
    if (looked.largest.defined()) seen = looked;
  }
  return kind_ == LinearKind::row ? whole(ctx, seen) : seen;
}

void Linear::add_gradient(Ctx& ctx, const Tensor& dy_rows, const Tensor& x) const {
  if (!weight_.grad.defined()) return;
  const Tensor whole = kind_ == LinearKind::row ? x : groups_.gather(ctx, x);
  matmul(ctx, weight_.grad, dy_rows, whole, {.transpose_a = true, .accumulate = weight_.adds_to_grad()});
}

void Linear::put_dx(Ctx& ctx, Tensor dx, const Tensor& dy_rows, const BeforeActivation& before) const {
  const bool row = kind_ == LinearKind::row;
  const Tensor part = row ? dx : groups_.partial(ctx, dx);
  matmul(ctx, part, dy_rows, weight_.value, options_of(before));
  if (!row) groups_.sum(ctx, dx, part);
}

/// The same with 8-bit floats, from whole rows of dy. Each product wants both operands along its own sum.
void Linear::backward8(Ctx& ctx, Tensor dx, const Measured& dy, const Measured& x, const Saved& saved) const {
  const bool row = kind_ == LinearKind::row, trains = weight_.grad.defined();
  if (!trains && !dx.defined()) return;
  const Float8 gradient = quantized(ctx, *ctx.temp, DType::e5m2, dy, dx.defined(), trains);
  if (trains) {
    const ArenaScope scope(*ctx.temp);
    const Float8 input =
        saved.cols.defined() ? saved : quantized(ctx, *ctx.temp, DType::e4m3, row ? x : whole(ctx, x), false, true);
    matmul(ctx, weight_.grad, gradient.cols, input.cols,
           {.transpose_b = true,
            .accumulate = weight_.adds_to_grad(),
            .a_scale = &gradient.scale,
            .b_scale = &input.scale});
  }
  if (!dx.defined()) return;
  const Tensor part = row ? dx : groups_.partial(ctx, dx);
  const Float8 weight = quantized(ctx, *ctx.temp, DType::e4m3, measured_weight(ctx), false, true);
  matmul(ctx, part, gradient.rows, weight.cols,
         {.transpose_b = true, .a_scale = &gradient.scale, .b_scale = &weight.scale});
  if (!row) groups_.sum(ctx, dx, part);
}

}  // namespace trireme
