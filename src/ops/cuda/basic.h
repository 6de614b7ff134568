// CUDA kernels of the elementwise helpers and the scans; the contract is in ops/basic.h.
#pragma once

#include "ops/kernel_args.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

void fill(Ctx& ctx, const Tensor& y, float value);
void copy(Ctx& ctx, const Tensor& y, const Tensor& x);
void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b);
void scale(Ctx& ctx, const Tensor& y, float factor);
void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args);

/// Number of partial sums of sum_squares.
constexpr int64_t kSumSquaresParts = 512;

/// sum (1) f64, on the device: written, or added to. `partial` (kSumSquaresParts) f64 is scratch. The order of sums
/// depends on the size and alignment only.
void sum_squares(Ctx& ctx, const Tensor& sum, const Tensor& partial, const Tensor& x, bool accumulate);

/// first (1) i64, on the device: index of the first NaN or Inf of x in row-major order, or INT64_MAX.
void find_nonfinite(Ctx& ctx, const Tensor& first, const Tensor& x);

}  // namespace trireme::cuda
