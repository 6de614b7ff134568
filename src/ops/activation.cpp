// Checks and cost of the activation functions.
#include "ops/activation.h"

#include "ops/cost.h"
#include "ops/cpu/activation.h"
#include "ops/cuda/activation.h"
#include "ops/dispatch.h"

namespace trireme {
namespace {

void check_matrix(const char* op, const char* name, const Tensor& t, int64_t rows, int64_t columns) {
  check_shape(op, name, t, {rows, columns});
  check_rows(op, name, t);
}

// Counting an exponential as 8 FLOPs and a division as 4.
constexpr double kGeluFlops = 20, kGeluBackwardFlops = 32, kSwigluFlops = 16, kSwigluBackwardFlops = 22;

double flops(double each, const Tensor& t) { return each * static_cast<double>(t.numel()); }

}  // namespace

void gelu_forward(Ctx& ctx, Tensor y, const Tensor& x) {
  const char* op = "gelu_forward";
  check_matrix(op, "x", x, x.size(0), x.size(1));
  check_matrix(op, "y", y, x.size(0), x.size(1));
  if (!begin_op(ctx, op, {.flops = flops(kGeluFlops, x), .bytes = bytes_of(y, x)})) return;
  on_device(ctx, cpu::gelu_forward, cuda::gelu_forward, y, x);
  end_op(ctx, op, y);
}

void gelu_backward(Ctx& ctx, Tensor dx, const Tensor& dy, const Tensor& x) {
  const char* op = "gelu_backward";
  check_matrix(op, "x", x, x.size(0), x.size(1));
  check_matrix(op, "dx", dx, x.size(0), x.size(1));
  check_matrix(op, "dy", dy, x.size(0), x.size(1));
  if (!begin_op(ctx, op, {.flops = flops(kGeluBackwardFlops, x), .bytes = bytes_of(dx, dy, x)})) return;
  on_device(ctx, cpu::gelu_backward, cuda::gelu_backward, dx, dy, x);
  end_op(ctx, op, dx);
}

void swiglu_forward(Ctx& ctx, Tensor y, const Tensor& gate_up) {
  const char* op = "swiglu_forward";
  check_matrix(op, "y", y, y.size(0), y.size(1));
  check_matrix(op, "gate_up", gate_up, y.size(0), 2 * y.size(1));
  if (!begin_op(ctx, op, {.flops = flops(kSwigluFlops, y), .bytes = bytes_of(y, gate_up)})) return;
  on_device(ctx, cpu::swiglu_forward, cuda::swiglu_forward, y, gate_up);
  end_op(ctx, op, y);
}

void swiglu_backward(Ctx& ctx, Tensor dgate_up, const Tensor& dy, const Tensor& gate_up, Tensor y) {
  const char* op = "swiglu_backward";
  check_matrix(op, "dy", dy, dy.size(0), dy.size(1));
  check_matrix(op, "gate_up", gate_up, dy.size(0), 2 * dy.size(1));
  check_matrix(op, "dgate_up", dgate_up, dy.size(0), 2 * dy.size(1));
  if (y.defined()) check_matrix(op, "y", y, dy.size(0), dy.size(1));
  const double bytes = bytes_of(dgate_up, dy, gate_up) + (y.defined() ? bytes_of(y) : 0);
  if (!begin_op(ctx, op, {.flops = flops(kSwigluBackwardFlops, dy), .bytes = bytes})) return;
  on_device(ctx, cpu::swiglu_backward, cuda::swiglu_backward, dgate_up, dy, gate_up, y);
  end_op(ctx, op, dgate_up);
}

}  // namespace trireme
