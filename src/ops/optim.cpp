// Checks and cost of the optimizer's arithmetic.
#include "ops/optim.h"

#include "ops/cost.h"
#include "ops/cpu/optim.h"
#include "ops/cuda/optim.h"
#include "ops/dispatch.h"

namespace trireme {

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  const char* op = "adamw_update";
  OpCost cost;
  for (const AdamWSlice& s : slices) {
    const int64_t n = s.master.numel();
    check_vector(op, "master", s.master, n, DType::f32);
    check_vector(op, "m", s.m, n, DType::f32);
    check_vector(op, "v", s.v, n, DType::f32);
    check_vector(op, "grad", s.grad, n, DType::f32);
    CHECK(s.param.defined() == slices[0].param.defined(), op, ": some slices have a param and some have none");
    if (s.param.defined()) {
      check_rows(op, "param", s.param);
      check_vector(op, "param", s.param, n, slices[0].param.dtype);
    }
    cost.flops += 15.0 * static_cast<double>(n);
    cost.bytes += 2 * bytes_of(s.master, s.m, s.v) + bytes_of(s.grad, s.param);
  }
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::adamw_update, cuda::adamw_update, slices, args);
  for (const AdamWSlice& s : slices) end_op(ctx, op, s.master);
}

}  // namespace trireme
