// Activation functions of the MLP. Rank 2, unit stride in the last dimension. Results are measured where asked.
#pragma once

#include "ops/measured.h"
#include "tensor/ctx.h"

namespace trireme {

/// y = GELU(x), tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). (N, F) both; y may alias x.
void gelu_forward(Ctx& ctx, const Measured& y, const Tensor& x);
/// dx = dy * GELU'(x), written; dx may alias dy.
void gelu_backward(Ctx& ctx, const Measured& dx, const Tensor& dy, const Tensor& x);

/// y (N, F) = silu(gate) * up, where gate_up (N, 2F) holds gate, then up.
void swiglu_forward(Ctx& ctx, const Measured& y, const Tensor& gate_up);
/// dgate_up (N, 2F), written; may alias gate_up. y (N, F), where defined, is made again, bit for bit; may alias dy. Not
/// both y and a measured dgate_up.
void swiglu_backward(Ctx& ctx, const Measured& dgate_up, const Tensor& dy, const Tensor& gate_up, Tensor y = {});

}  // namespace trireme
