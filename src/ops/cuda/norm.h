// CUDA kernels of RMSNorm and LayerNorm; the contract is in ops/norm.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "ops/kernel_args.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// Rows of the partial sums that norm_backward needs where a parameter gradient is wanted: two blocks for each
/// processor of the largest GPUs. A constant, so that sums do not depend on the GPU.
inline int64_t norm_blocks(int64_t rows) { return std::clamp<int64_t>(ceil_div(rows, 8), 1, 264); }

/// Whether norm_backward sums the rows of dx along, which takes a thread registers for every channel it has: where a
/// few warps hold a row.
inline bool norm_sums_rows(int64_t channels, DType dtype) {
  const int64_t bytes = channels * dtype_size(dtype);
  return bytes % 16 == 0 && bytes > 32 * 16 && bytes <= 320 * 16;
}

void norm_forward(Ctx& ctx, const NormForward& a);

/// The partial sums are (norm_blocks(rows), C) f32. The order of all sums depends on shapes only.
void norm_backward(Ctx& ctx, const NormBackward& a);

}  // namespace trireme::cuda
