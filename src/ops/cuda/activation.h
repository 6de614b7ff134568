// CUDA kernels of the activation functions; the contract is in ops/activation.h.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cuda {

void gelu_forward(Ctx& ctx, const Tensor& y, const Tensor& x);
void gelu_backward(Ctx& ctx, const Tensor& dx, const Tensor& dy, const Tensor& x);
void swiglu_forward(Ctx& ctx, const Tensor& y, const Tensor& gate_up);
void swiglu_backward(Ctx& ctx, const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y);

}  // namespace trireme::cuda
