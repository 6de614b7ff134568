// Checks and cost of the optimizer's arithmetic.
#include "ops/optim.h"

#include "ops/cost.h"
#include "ops/cpu/optim.h"
#include "ops/cuda/optim.h"
#include "ops/dispatch.h"

namespace trireme {

void adamw_update(Ctx& ctx, Tensor master, Tensor m, Tensor v, Tensor param, const Tensor& grad,
                  const AdamWArgs& args) {
  const char* op = "adamw_update";
  const int64_t n = master.numel();
  check_vector(op, "master", master, n, DType::f32);
  check_vector(op, "m", m, n, DType::f32);
  check_vector(op, "v", v, n, DType::f32);
  check_vector(op, "grad", grad, n, DType::f32);
  if (param.defined()) {
    check_rows(op, "param", param);
    check_vector(op, "param", param, n, param.dtype);
  }
  const OpCost cost{.flops = 15.0 * static_cast<double>(n),
                    .bytes = 2 * bytes_of(master, m, v) + bytes_of(grad, param)};
  if (!begin_op(ctx, op, cost)) return;
  on_device(ctx, cpu::adamw_update, cuda::adamw_update, master, m, v, param, grad, args);
  end_op(ctx, op, master);
}

}  // namespace trireme
