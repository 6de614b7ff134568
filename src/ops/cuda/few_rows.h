// Products of a few rows with a matrix, as decoding has them: each weight is read once, and nothing else counts.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

/// Whether few_rows_matmul() takes this product. GELU's sides are not looked at.
bool takes_few_rows(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

/// c = alpha * a . b^T [+ bias] and SwiGLU of it, as ops/matmul.h has it.
void few_rows_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

}  // namespace trireme::cuda
