// The optimizer's arithmetic on flat slices.
#pragma once

#include <limits>
#include <span>

#include "ops/state_codes.h"
#include "tensor/ctx.h"

namespace trireme {

struct AdamWArgs {
  float lr = 0, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F;
  float bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^t
  Tensor factor;  // (1) f32, where the slices are: every gradient is multiplied by it first. Undefined: 1
};

struct ClipArgs {
  double max_norm = 0;    // 0: no clipping
  double loss_scale = 1;  // with which the gradients were computed
};

/// What clip_factor() below gives, of the norm of the gradients as they are.
constexpr float clip_factor(double scaled_norm, double loss, const ClipArgs& args) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  const double norm = scaled_norm / args.loss_scale;
  const bool finite = norm <= kLargest && loss <= kLargest && loss >= -kLargest;  // false of NaN
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  const double factor = args.max_norm > 0 ? args.max_norm / (norm + 1e-6) : 1.0;
  return static_cast<float>((factor < 1.0 ? factor : 1.0) / args.loss_scale);
}

/// A run of n elements of one parameter, each tensor (n), contiguous. `grad` is f32, or bf16 of a bf16 param. The value
/// is kept in one of these ways:
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
/// but for the blocks of 8-bit m and v. Where args.factor is NaN nothing changes.
void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args);

/// factor (1) f32: what makes clipped gradients of those at hand: min(1, max_norm / (norm + 1e-6)), PyTorch's form,
/// over the loss scale. norm is the root of squares (1) f64 without the loss scale. NaN where that or loss (1) f64 is
/// not finite: the step is not to be made.
void clip_factor(Ctx& ctx, Tensor factor, const Tensor& squares, const Tensor& loss, const ClipArgs& args);

inline void adamw_update(Ctx& ctx, const AdamWSlice& slice, const AdamWArgs& args) {
  adamw_update(ctx, std::span(&slice, 1), args);
}

}  // namespace trireme
