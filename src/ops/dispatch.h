// The one boundary where a backend is chosen. A dispatcher checks shapes and dtypes once, counts cost,
// returns if planning (but see attention.cpp), and calls the backend's kernel.
#pragma once

#include "ops/check.h"
#include "tensor/ctx.h"

namespace trireme {

struct OpCost {
  double flops = 0, bytes = 0;
  bool matmul = false;
};

/// Counts the op; true where a kernel is to run, false on meta.
bool begin_op(Ctx& ctx, const char* op, const OpCost& cost);

/// The kernel of ctx's backend; both take the same arguments.
template <class Cpu, class Cuda, class... Args>
decltype(auto) on_device(Ctx& ctx, Cpu cpu_kernel, Cuda cuda_kernel, const Args&... args) {
  return ctx.backend == DeviceKind::cuda ? cuda_kernel(ctx, args...) : cpu_kernel(ctx, args...);
}

/// With ctx.check_finite: NumericError naming the op where `out` holds a NaN or Inf. Waits for the op.
void end_op(Ctx& ctx, const char* op, const Tensor& out);

}  // namespace trireme
