// CPU kernel of dropout; the contract is in ops/basic.h.
//
// The mask, exactly: with key RandomKey::of(seed, site, step), row n draws the Philox blocks
// draw(hi = mix64(sample_id, position), lo = global channel / 4); word (global channel % 4) of its block decides:
// kept where (word >> 8) >= dropout_threshold(p). Every backend and every slicing must draw this same mask.
#pragma once

#include <cmath>

#include "tensor/ctx.h"

namespace trireme::cpu {

struct DropoutArgs {
  float p = 0;
  uint64_t site = 0;
  Tensor sample_ids, positions;  // (N) i64, (N) i32
  int64_t channel_begin = 0;     // global index of x's first channel
};

/// Number of the 2^24 values of a word's top bits that drop an element.
inline int32_t dropout_threshold(float p) { return static_cast<int32_t>(std::lround(static_cast<double>(p) * 0x1p24)); }

void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args);

}  // namespace trireme::cpu
