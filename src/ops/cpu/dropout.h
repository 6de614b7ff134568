// CPU kernel of dropout; the contract is in ops/basic.h, the mask in ops/kernel_args.h.
#pragma once

#include "ops/kernel_args.h"
#include "tensor/ctx.h"

namespace trireme::cpu {

void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args);

}  // namespace trireme::cpu
