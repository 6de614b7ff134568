// CUDA kernel of AdamW; the contract is in ops/optim.h.
#pragma once

#include "ops/optim.h"

namespace trireme::cuda {

void adamw_update(Ctx& ctx, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& param,
                  const Tensor& grad, const AdamWArgs& args);

}  // namespace trireme::cuda
