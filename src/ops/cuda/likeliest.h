// CUDA kernel of the greedy choice; the contract is in ops/likeliest.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// Blocks that share a row of `columns`, each of which leaves one word of scratch.
inline int64_t likeliest_parts(int64_t columns) { return std::clamp<int64_t>(ceil_div(columns, 2048), 1, 64); }

/// scratch (N, likeliest_parts(V)) i64.
void likeliest(Ctx& ctx, const Tensor& ids, const Tensor& logits, const Tensor& scratch);

}  // namespace trireme::cuda
