// CUDA kernels of the elementwise helpers and the scans; the contract is in ops/basic.h.
#pragma once

#include <span>

#include "base/numeric.h"
#include "ops/kernel_args.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

void fill(Ctx& ctx, const Tensor& y, float value);
void copy(Ctx& ctx, const Tensor& y, const Tensor& x);
void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b);
void scale(Ctx& ctx, const Tensor& y, float factor);
void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args);

/// Elements of one partial sum of sum_squares.
constexpr int64_t kSquaresPart = 1 << 16;

/// Number of partial sums over all of `xs`.
inline int64_t sum_squares_parts(std::span<const Tensor> xs) {
  int64_t parts = 0;
  for (const Tensor& x : xs) parts += ceil_div(x.numel(), kSquaresPart);
  return parts;
}

/// sum (1) f64, on the device: the sum over all tensors. `partial` (sum_squares_parts) f64 is scratch. The order of
/// sums depends on sizes and alignments only.
void sum_squares(Ctx& ctx, const Tensor& sum, const Tensor& partial, std::span<const Tensor> xs);

/// first (1) i64, on the device: index of the first NaN or Inf of x in row-major order, or INT64_MAX.
void find_nonfinite(Ctx& ctx, const Tensor& first, const Tensor& x);

}  // namespace trireme::cuda
