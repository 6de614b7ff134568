// The optimizer's arithmetic on flat slices.
#pragma once

#include <span>

#include "ops/state_codes.h"
#include "tensor/ctx.h"

namespace trireme {

struct AdamWArgs {
  float lr = 0, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F;
  float grad_scale = 1;                              // the clip factor: every gradient is multiplied by it first
  float bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^t
};

/// A run of n elements of one parameter, each tensor (n), contiguous. `grad` is f32. The value is kept in one of these
/// ways:
///   master f32, param undefined     the master is the parameter
///   master f32, param f32/bf16/f16  param is the master rounded to nearest; bf16 ties away from zero
///   master u16, param bf16          together the same f32, and param its rounding (state_codes.h)
///   master undefined, param bf16    param alone, rounded up or down by chance
/// m and v, of one type, are f32; bf16, rounded by chance; or u8, codes of m and of v's root, rounded by chance, with a
/// scale for each kCodeBlock elements in m_scales and v_scales (code_blocks(n)) f32.
struct AdamWSlice {
  Tensor master, m, v, param, grad;
  float weight_decay = 0;
  Tensor m_scales = {}, v_scales = {};
  RandomKey key = {};  // of chance: state_codes.h
  ElementPositions positions = {};
};

/// AdamW (Loshchilov and Hutter, 2019) as in PyTorch: p -= lr*wd*p, then p -= lr * (m/bc1) / (sqrt(v/bc2) + eps), in
/// f32 on all slices, which are all kept in one way. The result does not depend on how a parameter is cut into slices,
/// but for the blocks of 8-bit m and v.
void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args);

inline void adamw_update(Ctx& ctx, const AdamWSlice& slice, const AdamWArgs& args) {
  adamw_update(ctx, std::span(&slice, 1), args);
}

}  // namespace trireme
