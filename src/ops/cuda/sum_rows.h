// Column sums on CUDA; the contract of sum_rows is in ops/matmul.h.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "base/numeric.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// Rows of the partial sums (sum_rows_blocks(N, C), C) f32 that sum_rows needs as scratch.
/// With tiles of 256 columns they are four blocks for each processor of the largest GPUs, which run together; they do
/// not depend on the GPU, nor do the sums.
inline int64_t sum_rows_blocks(int64_t rows, int64_t cols) {
  return std::clamp<int64_t>(ceil_div(rows, 64), 1,
                             std::max<int64_t>(1, 528 / std::max<int64_t>(1, ceil_div(cols, 256))));
}

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& partial, const Tensor& x, const Tensor& largest = {});

struct RowsToAdd {
  Tensor out, partial;
};
constexpr int kMostAdded = 4;

/// out (C) f32 += the rows of partial (B, C) f32, both contiguous, in an order that depends on B only. Up to kMostAdded
/// of one shape at once; those without `out` are left out.
void add_rows(Ctx& ctx, std::initializer_list<RowsToAdd> all);

}  // namespace trireme::cuda
