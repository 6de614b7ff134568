// Checks and cost of the activation functions.
#include "ops/activation.h"

#include "ops/cost.h"
#include "ops/cpu/activation.h"
#include "ops/cpu/float8.h"
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

/// A kernel that measures what it writes on a GPU; elsewhere that is a pass of its own.
template <class Cpu, class Cuda, class... Args>
void run_measured(Ctx& ctx, Cpu cpu_kernel, Cuda cuda_kernel, const Measured& y, const Args&... args) {
  if (ctx.backend == DeviceKind::cuda) return cuda_kernel(ctx, y, args...);
  cpu_kernel(ctx, y.values, args...);
  if (y.largest.defined()) cpu::find_largest(ctx, y.largest, y.values);
}

double flops(double each, const Tensor& t) { return each * static_cast<double>(t.numel()); }

}  // namespace

void gelu_forward(Ctx& ctx, const Measured& out, const Tensor& x) {
  const char* op = "gelu_forward";
  const Tensor& y = out.values;
  check_matrix(op, "x", x, x.size(0), x.size(1));
  check_matrix(op, "y", y, x.size(0), x.size(1));
  check_measured(op, out);
  if (!begin_op(ctx, op, {.flops = flops(kGeluFlops, x), .bytes = bytes_of(y, x)})) return;
  run_measured(ctx, cpu::gelu_forward, cuda::gelu_forward, out, x);
  end_op(ctx, op, y);
}

void gelu_backward(Ctx& ctx, const Measured& out, const Tensor& dy, const Tensor& x) {
  const char* op = "gelu_backward";
  const Tensor& dx = out.values;
  check_matrix(op, "x", x, x.size(0), x.size(1));
  check_matrix(op, "dx", dx, x.size(0), x.size(1));
  check_matrix(op, "dy", dy, x.size(0), x.size(1));
  check_measured(op, out);
  if (!begin_op(ctx, op, {.flops = flops(kGeluBackwardFlops, x), .bytes = bytes_of(dx, dy, x)})) return;
  run_measured(ctx, cpu::gelu_backward, cuda::gelu_backward, out, dy, x);
  end_op(ctx, op, dx);
}

void swiglu_forward(Ctx& ctx, const Measured& out, const Tensor& gate_up) {
  const char* op = "swiglu_forward";
  const Tensor& y = out.values;
  check_matrix(op, "y", y, y.size(0), y.size(1));
  check_matrix(op, "gate_up", gate_up, y.size(0), 2 * y.size(1));
  check_measured(op, out);
  if (!begin_op(ctx, op, {.flops = flops(kSwigluFlops, y), .bytes = bytes_of(y, gate_up)})) return;
  run_measured(ctx, cpu::swiglu_forward, cuda::swiglu_forward, out, gate_up);
  end_op(ctx, op, y);
}

void swiglu_backward(Ctx& ctx, const Measured& out, const Tensor& dy, const Tensor& gate_up, Tensor y) {
  const char* op = "swiglu_backward";
  const Tensor& dgate_up = out.values;
  check_matrix(op, "dy", dy, dy.size(0), dy.size(1));
  check_matrix(op, "gate_up", gate_up, dy.size(0), 2 * dy.size(1));
  check_matrix(op, "dgate_up", dgate_up, dy.size(0), 2 * dy.size(1));
  CHECK(!y.defined() || !out.largest.defined(), op, ": measured, and y again");
  if (y.defined()) check_matrix(op, "y", y, dy.size(0), dy.size(1));
  const double bytes = bytes_of(dgate_up, dy, gate_up) + (y.defined() ? bytes_of(y) : 0);
  check_measured(op, out);
  if (!begin_op(ctx, op, {.flops = flops(kSwigluBackwardFlops, dy), .bytes = bytes})) return;
  run_measured(ctx, cpu::swiglu_backward, cuda::swiglu_backward, out, dy, gate_up, y);
  end_op(ctx, op, dgate_up);
}

}  // namespace trireme
