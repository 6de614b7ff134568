// Checks and cost of the elementwise helpers.
#include "ops/basic.h"

#include "ops/cost.h"
#include "ops/cpu/basic.h"
#include "ops/cpu/dropout.h"
#include "ops/dispatch.h"

namespace trireme {
namespace {

void check_elements(const char* op, const char* name, const Tensor& t, const Shape& shape) {
  CHECK(t.rank() >= 1 && t.rank() <= 3, op, ": ", name, " is ", t.str(), ", expected rank 1 to 3");
  check_shape(op, name, t, shape);
  check_rows(op, name, t);
}

double elements(const Tensor& t) { return static_cast<double>(t.numel()); }

}  // namespace

void fill(Ctx& ctx, Tensor y, float value) {
  check_elements("fill", "y", y, y.shape);
  if (!begin_op(ctx, "fill", {.bytes = bytes_of(y)})) return;
  cpu::fill(ctx, y, value);
}

void copy(Ctx& ctx, Tensor y, const Tensor& x) {
  check_elements("copy", "y", y, x.shape);
  check_elements("copy", "x", x, x.shape);
  if (!begin_op(ctx, "copy", {.bytes = bytes_of(y, x)})) return;
  cpu::copy(ctx, y, x);
  end_op(ctx, "copy", y);
}

void add(Ctx& ctx, Tensor y, const Tensor& a, const Tensor& b) {
  check_elements("add", "y", y, y.shape);
  check_elements("add", "a", a, y.shape);
  check_elements("add", "b", b, y.shape);
  if (!begin_op(ctx, "add", {.flops = elements(y), .bytes = bytes_of(y, a, b)})) return;
  cpu::add(ctx, y, a, b);
  end_op(ctx, "add", y);
}

void scale(Ctx& ctx, Tensor y, float factor) {
  check_elements("scale", "y", y, y.shape);
  if (!begin_op(ctx, "scale", {.flops = elements(y), .bytes = 2 * bytes_of(y)})) return;
  cpu::scale(ctx, y, factor);
  end_op(ctx, "scale", y);
}

void dropout(Ctx& ctx, Tensor y, const Tensor& x, float p, uint64_t site, const Batch& batch, int64_t channel_begin) {
  const char* op = "dropout";
  CHECK(x.rank() == 2, op, ": x is ", x.str(), ", expected (N, C)");
  check_elements(op, "x", x, x.shape);
  check_elements(op, "y", y, x.shape);
  CHECK(p >= 0 && p < 1 && channel_begin >= 0, op, ": p ", p, ", channel_begin ", channel_begin);
  const bool active = p > 0 && ctx.train;
  if (active) {
    check_vector(op, "sample_ids", batch.sample_ids, x.size(0), DType::i64);
    check_vector(op, "positions", batch.positions, x.size(0), DType::i32);
  }
  // 10 rounds of 6 operations give 4 words.
  if (!begin_op(ctx, op, {.flops = active ? 16 * elements(x) : 0.0, .bytes = bytes_of(y, x)})) return;
  if (active)
    cpu::dropout(ctx, y, x, {p, site, batch.sample_ids, batch.positions, channel_begin});
  else
    cpu::copy(ctx, y, x);
  end_op(ctx, op, y);
}

double sum_squares(Ctx& ctx, const Tensor& x) {
  check_rows("sum_squares", "x", x);
  check_vector("sum_squares", "x", x, x.numel(), x.dtype);
  if (!begin_op(ctx, "sum_squares", {.flops = 2 * elements(x), .bytes = bytes_of(x)})) return 0;
  return cpu::sum_squares(ctx, x);
}

int64_t find_nonfinite(Ctx& ctx, const Tensor& x) {
  check_rows("find_nonfinite", "x", x);
  check_vector("find_nonfinite", "x", x, x.numel(), x.dtype);
  if (!begin_op(ctx, "find_nonfinite", {.bytes = bytes_of(x)})) return -1;
  return cpu::find_nonfinite(ctx, x);
}

}  // namespace trireme
