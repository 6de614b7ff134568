// CUDA kernels of the activation functions; the contract is in ops/activation.h.
#pragma once

#include "ops/measured.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

void gelu_forward(Ctx& ctx, const Measured& y, const Tensor& x);
void gelu_backward(Ctx& ctx, const Measured& dx, const Tensor& dy, const Tensor& x);
void swiglu_forward(Ctx& ctx, const Measured& y, const Tensor& gate_up);
void swiglu_backward(Ctx& ctx, const Measured& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y);

}  // namespace trireme::cuda
