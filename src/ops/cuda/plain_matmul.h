// A matrix product without the library, for what it has no algorithm for.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

/// As ops/matmul.h says, of any types, strides and alignments. For correctness, not for speed.
void plain_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options);

}  // namespace trireme::cuda
