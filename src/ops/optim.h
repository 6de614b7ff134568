// The optimizer's arithmetic on flat slices.
#pragma once

#include <span>

#include "tensor/ctx.h"

namespace trireme {

struct AdamWArgs {
  float lr = 0, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F;
  float grad_scale = 1;                              // the clip factor: every gradient is multiplied by it first
  float bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^t
};

/// A run of n elements: master, m, v and grad (n) f32, contiguous. `param` (n): the copy in storage dtype, written from
/// the master; undefined where the master is the parameter.
struct AdamWSlice {
  Tensor master, m, v, param, grad;
  float weight_decay = 0;
};

/// AdamW (Loshchilov and Hutter, 2019) as in PyTorch: p -= lr*wd*p, then p -= lr * (m/bc1) / (sqrt(v/bc2) + eps), on
/// all slices. Either all of them have a param, of one dtype, or none has.
void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args);

inline void adamw_update(Ctx& ctx, const AdamWSlice& slice, const AdamWArgs& args) {
  adamw_update(ctx, std::span(&slice, 1), args);
}

}  // namespace trireme
