// Checks and cost of the norms. Both kinds share kernels: RMSNorm is LayerNorm without
// mean and bias.
#include "ops/norm.h"

#include "ops/cost.h"
#include "ops/cpu/float8.h"
#include "ops/cpu/norm.h"
#include "ops/cuda/norm.h"
#include "ops/dispatch.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

void check_activation(const char* op, const char* name, const Tensor& t, const Shape& shape) {
  check_shape(op, name, t, shape);
  check_rows(op, name, t);
}

void check_parameter(const char* op, const char* name, const Tensor& t, int64_t channels) {
  check_activation(op, name, t, {channels});
}

void forward(Ctx& ctx, const char* op, const NormForward& a) {
  const Shape& shape = a.y.shape;
  CHECK(shape.rank == 2 || shape.rank == 3, op, ": y is ", a.y.str(), ", expected rank 2 or 3");
  const int64_t channels = shape[shape.rank - 1];
  const int64_t rows = channels > 0 ? shape.numel() / channels : 0;
  check_activation(op, "y", a.y, shape);
  check_activation(op, "residual", a.residual, shape);
  if (a.delta.defined()) {
    check_activation(op, "delta", a.delta, shape);
    check_activation(op, "x", a.x, shape);
  }
  check_parameter(op, "weight", a.weight, channels);
  if (a.bias.defined()) check_parameter(op, "bias", a.bias, channels);
  check_vector(op, "rstd", a.rstd, rows, DType::f32);
  if (a.mean.defined()) check_vector(op, "mean", a.mean, rows, DType::f32);
  check_measured(op, {a.y, a.largest});
  const OpCost cost{.flops = (a.mean.defined() ? 7.0 : 4.0) * static_cast<double>(shape.numel()),
                    .bytes = bytes_of(a.y, a.residual, a.weight, a.bias, a.mean, a.rstd) +
                             (a.delta.defined() ? bytes_of(a.delta, a.x) : 0.0)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::norm_forward, cuda::norm_forward, a);
  if (a.largest.defined() && ctx.backend != DeviceKind::cuda) cpu::find_largest(ctx, a.largest, a.y);
  end_op(ctx, op, a.y);
}

void backward(Ctx& ctx, const char* op, NormBackward a) {
  const Shape& shape = a.dx.shape;
  CHECK(shape.rank == 2 || shape.rank == 3, op, ": dx is ", a.dx.str(), ", expected rank 2 or 3");
  const int64_t channels = shape[shape.rank - 1];
  const int64_t rows = channels > 0 ? shape.numel() / channels : 0;
  check_activation(op, "dx", a.dx, shape);
  check_activation(op, "dy", a.dy, shape);
  check_activation(op, "x", a.x, shape);
  check_parameter(op, "weight", a.weight, channels);
  check_vector(op, "rstd", a.rstd, rows, DType::f32);
  if (a.mean.defined()) check_vector(op, "mean", a.mean, rows, DType::f32);
  if (a.dweight.defined()) check_vector(op, "dweight", a.dweight, channels, DType::f32);
  if (a.dbias.defined()) check_vector(op, "dbias", a.dbias, channels, DType::f32);
  if (a.before.defined()) check_vector(op, "the sum before", a.before, channels, DType::f32);
  if (a.after.defined()) check_vector(op, "the sum after", a.after, channels, DType::f32);

  ArenaScope scope(*ctx.temp);
  const Shape partial{ctx.backend == DeviceKind::cuda ? cuda::norm_blocks(rows) : cpu::norm_blocks(rows), channels};
  if (a.dweight.defined()) a.partial_dweight = ctx.temp->take(DType::f32, partial);
  if (a.dbias.defined()) a.partial_dbias = ctx.temp->take(DType::f32, partial);
  if (a.before.defined()) a.partial_before = ctx.temp->take(DType::f32, partial);
  if (a.after.defined()) a.partial_after = ctx.temp->take(DType::f32, partial);
  const OpCost cost{.flops = (a.mean.defined() ? 13.0 : 10.0) * static_cast<double>(shape.numel()),
                    .bytes = bytes_of(a.dx, a.dy, a.x, a.weight, a.mean, a.rstd, a.dweight, a.dbias) +
                             (a.accumulate ? bytes_of(a.dx) : 0.0)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::norm_backward, cuda::norm_backward, a);
  end_op(ctx, op, a.dx);
}

/// With the sums of dx's rows, in the same pass where the backend can.
void backward(Ctx& ctx, const char* op, NormBackward a, const RowSums& sums) {
  const bool wanted = sums.before.defined() || sums.after.defined();
  CHECK(!wanted || (a.accumulate && a.dx.rank() == 2), op, ": sums of the rows of dx ", a.dx.str(),
        ", which has to be added to and of rank 2");
  const bool in_one = wanted && ctx.backend == DeviceKind::cuda && cuda::norm_sums_rows(a.dx.size(1), a.dx.dtype);
  if (in_one) {
    a.before = sums.before;
    a.after = sums.after;
  }
  if (!in_one && sums.before.defined()) sum_rows(ctx, sums.before, a.dx);
  backward(ctx, op, a);
  if (!in_one && sums.after.defined()) sum_rows(ctx, sums.after, a.dx);
}

}  // namespace

void rms_norm_forward(Ctx& ctx, const Measured& y, Tensor x, Tensor rstd, const Tensor& residual, const Tensor& delta,
                      const Tensor& weight, float eps) {
  forward(ctx, "rms_norm_forward",
          {.y = y.values,
           .x = x,
           .rstd = rstd,
           .residual = residual,
           .delta = delta,
           .weight = weight,
           .largest = y.largest,
           .eps = eps});
}

void rms_norm_backward(Ctx& ctx, Tensor dx, Tensor dweight, const Tensor& dy, const Tensor& x, const Tensor& weight,
                       const Tensor& rstd, bool accumulate, const RowSums& sums) {
  backward(ctx, "rms_norm_backward",
           {.dx = dx, .dweight = dweight, .dy = dy, .x = x, .weight = weight, .rstd = rstd, .accumulate = accumulate},
           sums);
}

void layer_norm_forward(Ctx& ctx, const Measured& y, Tensor x, Tensor mean, Tensor rstd, const Tensor& residual,
                        const Tensor& delta, const Tensor& weight, const Tensor& bias, float eps) {
  CHECK(mean.defined() && bias.defined(), "layer_norm_forward: mean and bias are needed");
  forward(ctx, "layer_norm_forward",
          {.y = y.values,
           .x = x,
           .mean = mean,
           .rstd = rstd,
           .residual = residual,
           .delta = delta,
           .weight = weight,
           .bias = bias,
           .largest = y.largest,
           .eps = eps});
}

void layer_norm_backward(Ctx& ctx, Tensor dx, Tensor dweight, Tensor dbias, const Tensor& dy, const Tensor& x,
                         const Tensor& weight, const Tensor& mean, const Tensor& rstd, bool accumulate,
                         const RowSums& sums) {
  CHECK(mean.defined(), "layer_norm_backward: mean is needed");
  backward(ctx, "layer_norm_backward",
           {.dx = dx,
            .dweight = dweight,
            .dbias = dbias,
            .dy = dy,
            .x = x,
            .weight = weight,
            .mean = mean,
            .rstd = rstd,
            .accumulate = accumulate},
           sums);
}

}  // namespace trireme
