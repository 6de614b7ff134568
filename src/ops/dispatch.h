// The one boundary where a backend is chosen. A dispatcher checks shapes and dtypes once, counts cost,
// returns if planning, and calls the backend's kernel.
#pragma once

#include "ops/check.h"
#include "tensor/ctx.h"

namespace trireme {

struct OpCost {
  double flops = 0, bytes = 0;
  bool matmul = false;
};

/// Counts the op; true where the CPU kernel is to run, false on meta. DeviceError for other devices.
bool begin_op(Ctx& ctx, const char* op, const OpCost& cost);

/// With ctx.check_finite: NumericError naming the op where `out` holds a NaN or Inf.
void end_op(Ctx& ctx, const char* op, const Tensor& out);

}  // namespace trireme
