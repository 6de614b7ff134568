#include "ops/float8.h"

#include "ops/cost.h"
#include "ops/cpu/float8.h"
#include "ops/cuda/float8.h"
#include "ops/dispatch.h"

namespace trireme {

void quantize(Ctx& ctx, const Float8& out, const Measured& of) {
  const char* op = "quantize";
  const Tensor& x = of.values;
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
  const bool known = of.largest.defined();
  const Tensor largest = known ? of.largest : ctx.temp->take(DType::f32, {1});
  check_vector(op, "the largest magnitude", largest, 1, DType::f32);
  const double n = static_cast<double>(x.numel());
  if (!begin_op(ctx, op, {.flops = 2 * n, .bytes = bytes_of(x, out.rows, out.cols) + (known ? 0 : bytes_of(x))}))
    return;
  if (x.numel() > 0) {
    if (!known) on_device(ctx, cpu::find_largest, cuda::find_largest, largest, x);
    on_device(ctx, cpu::quantize, cuda::quantize, out, largest, x);
  }
  end_op(ctx, op, out.scale);
}

void measure(Ctx& ctx, const Measured& x) {
  const char* op = "measure";
  CHECK(x.largest.defined(), op, ": nothing is wanted");
  check_measured(op, x);
  if (!begin_op(ctx, op, {.flops = static_cast<double>(x.values.numel()), .bytes = bytes_of(x.values)})) return;
  on_device(ctx, cpu::find_largest, cuda::find_largest, x.largest, x.values);
  end_op(ctx, op, x.largest);
}

}  // namespace trireme
