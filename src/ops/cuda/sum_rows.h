// Column sums on CUDA; the contract of sum_rows is in ops/matmul.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// Rows of the partial sums (sum_rows_blocks(N, C), C) f32 that sum_rows needs as scratch.
/// With tiles of 256 columns they keep the largest GPUs busy; they do not depend on the GPU, nor do the sums.
inline int64_t sum_rows_blocks(int64_t rows, int64_t cols) {
  return std::clamp<int64_t>(ceil_div(rows, 64), 1, ceil_div(1056, std::max<int64_t>(1, ceil_div(cols, 256))));
}

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& partial, const Tensor& x);

/// out (C) f32 += the rows of partial (B, C) f32, both contiguous, in an order that depends on B only.
void add_rows(Ctx& ctx, const Tensor& out, const Tensor& partial);

}  // namespace trireme::cuda
