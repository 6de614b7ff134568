#include "ops/float8.h"

#include "ops/cost.h"
#include "ops/cpu/float8.h"
#include "ops/cuda/float8.h"
#include "ops/dispatch.h"

namespace trireme {

void quantize(Ctx& ctx, const Float8& out, const Tensor& x) {
  const char* op = "quantize";
  check_dtype(op, "x", x, DType::bf16);
  CHECK(x.rank() == 2 && x.contiguous() && x.size(0) % 16 == 0 && x.size(1) % 16 == 0, op, ": x is ", x.str(),
        ", expected contiguous, sizes multiples of 16");
  CHECK(out.rows.defined() || out.cols.defined(), op, ": nothing is wanted");
  const DType dtype = out.rows.defined() ? out.rows.dtype : out.cols.dtype;
  CHECK(is_float8(dtype), op, ": the result is in ", dtype_name(dtype));
  for (const Tensor* t : {&out.rows, &out.cols})
    if (t->defined()) check_vector(op, "the result", *t, x.numel(), dtype);
  check_vector(op, "scale", out.scale, 1, DType::f32);
  const ArenaScope scope(*ctx.temp);
  const Tensor largest = ctx.temp->take(DType::f32, {1});
  const double n = static_cast<double>(x.numel());
  if (!begin_op(ctx, op, {.flops = 2 * n, .bytes = bytes_of(x, x, out.rows, out.cols)})) return;
  if (x.numel() > 0) on_device(ctx, cpu::quantize, cuda::quantize, out, largest, x);
  end_op(ctx, op, out.scale);
}

}  // namespace trireme
