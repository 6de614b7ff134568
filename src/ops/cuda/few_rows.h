// Products of a few rows with a matrix, as decoding has them: each weight is read once, and nothing else counts.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

constexpr int64_t kFewRows = 4;
constexpr int64_t kNormedRows = 1;  // with a norm in front; more are faster with an op for it

/// Whether few_rows_matmul() takes this product, with the norm in front of it if it has one.
bool takes_few_rows(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

/// c = alpha * a . b^T [+ bias] of a or its norm, and a residual, GELU or SwiGLU, as ops/matmul.h has it and with the
/// bits of ops of their own. A norm only where nothing is trained.
void few_rows_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

}  // namespace trireme::cuda
