// Checks and cost of the elementwise helpers.
#include "ops/basic.h"

#include <optional>

#include "device/memory.h"
#include "ops/cost.h"
#include "ops/cpu/basic.h"
#include "ops/cpu/dropout.h"
#include "ops/cuda/basic.h"
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
  on_device(ctx, cpu::fill, cuda::fill, y, value);
}

void copy(Ctx& ctx, Tensor y, const Tensor& x) {
  check_elements("copy", "y", y, x.shape);
  check_elements("copy", "x", x, x.shape);
  if (!begin_op(ctx, "copy", {.bytes = bytes_of(y, x)})) return;
  on_device(ctx, cpu::copy, cuda::copy, y, x);
  end_op(ctx, "copy", y);
}

void add(Ctx& ctx, Tensor y, const Tensor& a, const Tensor& b) {
  check_elements("add", "y", y, y.shape);
  check_elements("add", "a", a, y.shape);
  check_elements("add", "b", b, y.shape);
  if (!begin_op(ctx, "add", {.flops = elements(y), .bytes = bytes_of(y, a, b)})) return;
  on_device(ctx, cpu::add, cuda::add, y, a, b);
  end_op(ctx, "add", y);
}

void scale(Ctx& ctx, Tensor y, float factor) {
  check_elements("scale", "y", y, y.shape);
  if (!begin_op(ctx, "scale", {.flops = elements(y), .bytes = 2 * bytes_of(y)})) return;
  on_device(ctx, cpu::scale, cuda::scale, y, factor);
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
    on_device(ctx, cpu::dropout, cuda::dropout, y, x,
              DropoutArgs{p, site, batch.sample_ids, batch.positions, channel_begin});
  else
    on_device(ctx, cpu::copy, cuda::copy, y, x);
  end_op(ctx, op, y);
}

void sum_squares(Ctx& ctx, Tensor sum, std::span<const Tensor> xs) {
  const char* op = "sum_squares";
  check_vector(op, "sum", sum, 1, DType::f64);
  OpCost cost;
  for (const Tensor& x : xs) {
    check_rows(op, "x", x);
    check_vector(op, "x", x, x.numel(), x.dtype);
    cost.flops += 2 * elements(x);
    cost.bytes += bytes_of(x);
  }
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  std::optional<ArenaScope> scope;
  if (on_gpu) scope.emplace(*ctx.temp);
  const Tensor partial = on_gpu ? ctx.temp->take(DType::f64, {cuda::sum_squares_parts(xs)}) : Tensor();
  if (!begin_op(ctx, op, cost)) return;
  if (on_gpu) return cuda::sum_squares(ctx, sum, partial, xs);
  double total = 0;
  for (const Tensor& x : xs) total += cpu::sum_squares(ctx, x);
  *sum.as<double>() = total;
}

int64_t find_nonfinite(Ctx& ctx, const Tensor& x) {
  const char* op = "find_nonfinite";
  check_rows(op, "x", x);
  check_vector(op, "x", x, x.numel(), x.dtype);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  std::optional<ArenaScope> scope;
  if (on_gpu) scope.emplace(*ctx.temp);
  const Tensor first = on_gpu ? ctx.temp->take(DType::i64, {1}) : Tensor();
  if (!begin_op(ctx, op, {.bytes = bytes_of(x)})) return -1;
  if (!on_gpu) return cpu::find_nonfinite(ctx, x);
  cuda::find_nonfinite(ctx, first, x);
  int64_t index = 0;
  copy_memory(kCpu, &index, first.device, first.data, first.bytes());
  return index == INT64_MAX ? -1 : index;
}

}  // namespace trireme
