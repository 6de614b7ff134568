// Checks and cost of the rotary positions.
#include "ops/rope.h"

#include "ops/cost.h"
#include "ops/cpu/rope.h"
#include "ops/cuda/rope.h"
#include "ops/dispatch.h"
#include "ops/matmul.h"

namespace trireme {

void rope(Ctx& ctx, Tensor x, const Tensor& positions, const Tensor& table, bool inverse, const Tensor& sums) {
  const char* op = "rope";
  CHECK(x.rank() == 3 && x.size(2) % 2 == 0, op, ": x is ", x.str(), ", expected (N, H, D) with D even");
  check_rows(op, "x", x);
  check_vector(op, "positions", positions, x.size(0), DType::i32);
  check_shape(op, "table", table, {table.size(0), x.size(2)});
  check_vector(op, "table", table, table.numel(), DType::f32);
  const OpCost cost{.flops = 3.0 * static_cast<double>(x.numel()),
                    .bytes = 2 * bytes_of(x) + static_cast<double>(x.size(0) * x.size(2) * dtype_size(DType::f32))};
  const ArenaScope scope(*ctx.temp);
  Tensor partial;
  if (sums.defined()) {
    const int64_t cols = x.size(1) * x.size(2);
    CHECK(x.stride(1) == x.size(2), op, ": sums of heads that lie apart, x is ", x.str());
    check_vector(op, "sums", sums, cols, DType::f32);
    if (ctx.backend != DeviceKind::cuda || !cuda::sums_in_rope(x, table)) {
      rope(ctx, x, positions, table, inverse);
      Tensor rows = x;
      rows.shape = {x.size(0), cols};
      rows.strides = {x.stride(0), 1};
      return sum_rows(ctx, sums, rows);
    }
    partial = ctx.temp->take(DType::f32, {cuda::rope_parts(x), cols});
  }
  if (!begin_op(ctx, op, cost)) return;
  if (partial.defined())
    cuda::rope_with_sums(ctx, x, positions, table, inverse, sums, partial);
  else
    on_device(ctx, cpu::rope, cuda::rope, x, positions, table, inverse);
  end_op(ctx, op, x);
}

}  // namespace trireme
