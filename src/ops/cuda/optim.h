// CUDA kernel of AdamW; the contract is in ops/optim.h.
#pragma once

#include "ops/optim.h"

namespace trireme::cuda {

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args);
void clip_factor(Ctx& ctx, const Tensor& factor, const Tensor& squares, const Tensor& loss, const ClipArgs& args);

}  // namespace trireme::cuda
