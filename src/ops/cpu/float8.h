// CPU kernels of the 8-bit floats; the contract is in ops/float8.h.
#pragma once

#include "ops/float8.h"

namespace trireme::cpu {

/// largest (1) f32, written.
void find_largest(Ctx& ctx, const Tensor& largest, const Tensor& x);

/// `largest` as find_largest wrote it.
void quantize(Ctx& ctx, const Float8& out, const Tensor& largest, const Tensor& x);

/// to (rows `ld` apart) = the values of codes, without their scale.
void load_float8(float* to, int64_t ld, DType dtype, const uint8_t* from, int64_t from_ld, int64_t rows, int64_t cols);

}  // namespace trireme::cpu
