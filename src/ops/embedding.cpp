// Checks and cost of the table lookup.
#include "ops/embedding.h"

#include <optional>

#include "ops/cost.h"
#include "ops/cpu/embedding.h"
#include "ops/cuda/embedding.h"
#include "ops/dispatch.h"

namespace trireme {

void embedding_forward(Ctx& ctx, Tensor y, const Tensor& ids, const Tensor& table, int64_t row_begin, bool accumulate) {
  const char* op = "embedding_forward";
  check_shape(op, "table", table, {table.size(0), table.size(1)});
  check_rows(op, "table", table);
  check_vector(op, "ids", ids, ids.numel(), DType::i32);
  check_shape(op, "y", y, {ids.numel(), table.size(1)});
  check_rows(op, "y", y);
  const double moved =
      bytes_of(y) * (accumulate ? 2 : 1) + bytes_of(ids) + static_cast<double>(y.numel() * dtype_size(table.dtype));
  if (!begin_op(ctx, op, {.flops = accumulate ? static_cast<double>(y.numel()) : 0.0, .bytes = moved})) return;
  on_device(ctx, cpu::embedding_forward, cuda::embedding_forward, y, ids, table, row_begin, accumulate);
  end_op(ctx, op, y);
}

void embedding_backward(Ctx& ctx, Tensor dtable, const Tensor& ids, const Tensor& dy, int64_t row_begin) {
  const char* op = "embedding_backward";
  check_shape(op, "dtable", dtable, {dtable.size(0), dtable.size(1)});
  check_rows(op, "dtable", dtable);
  check_dtype(op, "dtable", dtable, DType::f32);
  check_vector(op, "ids", ids, ids.numel(), DType::i32);
  check_shape(op, "dy", dy, {ids.numel(), dtable.size(1)});
  check_rows(op, "dy", dy);
  const double n = static_cast<double>(dy.numel());
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  std::optional<ArenaScope> scope;
  if (on_gpu) scope.emplace(*ctx.temp);
  const Tensor scratch = on_gpu ? ctx.temp->take(DType::u8, {cuda::embedding_backward_bytes(ids.numel())}) : Tensor();
  if (!begin_op(ctx, op, {.flops = n, .bytes = bytes_of(dy, ids) + 2 * n * sizeof(float)})) return;
  if (on_gpu)
    cuda::embedding_backward(ctx, dtable, scratch, ids, dy, row_begin);
  else
    cpu::embedding_backward(ctx, dtable, ids, dy, row_begin);
  end_op(ctx, op, dtable);
}

}  // namespace trireme
