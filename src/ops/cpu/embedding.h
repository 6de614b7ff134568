// CPU kernels of the table lookup; the contract is in ops/embedding.h.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cpu {

void embedding_forward(Ctx& ctx, const Tensor& y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate);
void embedding_backward(Ctx& ctx, const Tensor& dtable, const Tensor& ids, const Tensor& dy, int64_t row_begin);

}  // namespace trireme::cpu
