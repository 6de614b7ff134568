// The optimizer's arithmetic on flat slices.
#pragma once

#include "tensor/ctx.h"

namespace trireme {

struct AdamWArgs {
  float lr = 0, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F, weight_decay = 0;
  float grad_scale = 1;                              // the clip factor: every gradient is multiplied by it first
  float bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^t
};

/// AdamW (Loshchilov and Hutter, 2019) as in PyTorch: p -= lr*wd*p, then p -= lr * (m/bc1) / (sqrt(v/bc2) + eps).
/// master, m, v, grad: (n) f32, contiguous. `param` (n): the copy in storage dtype, written from the master; undefined
/// where the master is the parameter.
void adamw_update(Ctx& ctx, Tensor master, Tensor m, Tensor v, Tensor param, const Tensor& grad, const AdamWArgs& args);

}  // namespace trireme
