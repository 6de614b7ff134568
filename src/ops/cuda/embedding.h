// CUDA kernels of the table lookup; the contract is in ops/embedding.h.
#pragma once

#include "base/numeric.h"
#include "device/memory.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

void embedding_forward(Ctx& ctx, const Tensor& y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate);

/// Bytes the sort of the tokens may use: it stages all pairs and keeps histograms of tiles.
inline int64_t embedding_sort_bytes(int64_t tokens) { return 16 * tokens + (int64_t{1} << 20); }

/// Bytes of scratch of the gradient: keys and tokens before and behind the sort.
inline int64_t embedding_backward_bytes(int64_t tokens) {
  return 4 * round_up(tokens * static_cast<int64_t>(sizeof(int32_t)), kAlignment) + embedding_sort_bytes(tokens);
}

/// The tokens of a row are added in a fixed order: one after the other, or in eight turns where they are many.
void embedding_backward(Ctx& ctx, const Tensor& dtable, const Tensor& scratch, const Tensor& ids, const Tensor& dy,
                        int64_t row_begin);

}  // namespace trireme::cuda
