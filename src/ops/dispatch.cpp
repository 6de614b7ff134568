#include "ops/dispatch.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "device/cuda.h"
#include "device/memory.h"

namespace trireme {
namespace {

/// Index of the first value whose exponent bits are all ones (NaN or Inf), or -1.
template <class Bits>
int64_t first_nonfinite(const char* row, int64_t n, Bits exponent) {
  for (int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, row + i * static_cast<int64_t>(sizeof bits), sizeof bits);
    if ((bits & exponent) == exponent) return i;
  }
  return -1;
}

int64_t first_nonfinite(DType dtype, const char* row, int64_t n) {
  switch (dtype) {
    case DType::f32: return first_nonfinite<uint32_t>(row, n, 0x7F800000);
    case DType::f64: return first_nonfinite<uint64_t>(row, n, 0x7FF0000000000000);
    case DType::bf16: return first_nonfinite<uint16_t>(row, n, 0x7F80);
    case DType::f16: return first_nonfinite<uint16_t>(row, n, 0x7C00);
    default: return -1;
  }
}

void check_rows_finite(const char* op, const Tensor& whole, const Tensor& part, int64_t row_begin) {
  const int64_t rows = part.rank() > 1 ? part.size(0) : 1;
  const int64_t stride = part.rank() > 1 ? part.stride(0) : 0;
  const int64_t cols = part.size(part.rank() - 1);
  const int64_t row_bytes = cols * dtype_size(part.dtype);
  std::vector<char> on_host;  // rows of a tensor that lies elsewhere
  if (part.device != kCpu) {
    on_host.resize(static_cast<size_t>(rows * row_bytes));
    copy_memory_rows(kCpu, on_host.data(), row_bytes, part.device, part.data,
                     std::max(stride * dtype_size(part.dtype), row_bytes), row_bytes, rows);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const char* row =
        part.device != kCpu ? on_host.data() + r * row_bytes : part.as<char>() + r * stride * dtype_size(part.dtype);
    const int64_t col = first_nonfinite(part.dtype, row, cols);
    if (col >= 0)
      throw NumericError(
          cat(op, ": the result ", whole.str(), " has a NaN or Inf first in row ", row_begin + r, ", column ", col));
  }
}

}  // namespace

bool begin_op(Ctx& ctx, const char* op, const OpCost& cost) {
  if (ctx.count != nullptr) {
    ctx.count->flops += cost.flops;
    if (cost.matmul) ctx.count->matmul_flops += cost.flops;
    ctx.count->bytes += cost.bytes;
    ++ctx.count->calls;
  }
  CHECK(ctx.planning() || ctx.device.kind == ctx.backend, op, ": runs on ", device_name(ctx.device.kind),
        " with kernels for ", device_name(ctx.backend));
  if (ctx.planning()) return false;
  if (ctx.cuda != nullptr) cuda_profile_mark(*ctx.cuda, op, cost.flops, cost.bytes);
  return true;
}

void end_op(Ctx& ctx, const char* op, const Tensor& out) {
  if (!ctx.check_finite || ctx.planning() || !out.defined() || out.numel() == 0) return;
  CHECK(out.rank() <= 3, op, ": ", out.str());
  if (out.rank() < 3) return check_rows_finite(op, out, out, 0);
  for (int64_t i = 0; i < out.size(0); ++i) {
    Tensor part = out.slice(0, i, i + 1);
    part.shape = {out.size(1), out.size(2)};
    part.strides = {out.stride(1), out.stride(2)};
    check_rows_finite(op, out, part, i * out.size(1));
  }
}

}  // namespace trireme
