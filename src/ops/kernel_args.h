// Arguments of kernels that are many, shared by all backends.
#pragma once

#include <cmath>

#include "tensor/tensor.h"

namespace trireme {

/// `mean` defined: LayerNorm (with `bias`); else RMSNorm. `x` is written where `delta` is defined.
struct NormForward {
  Tensor y, x, mean, rstd, residual, delta, weight, bias;
  Tensor largest;  // of y, as Measured has it; on CUDA only
  float eps = 0;
};

/// The partial sums (norm_blocks(rows) of the backend, C) f32 are scratch, defined where the gradient they lead to is.
struct NormBackward {
  Tensor dx, dweight, dbias, dy, x, weight, mean, rstd;
  bool accumulate = false;
  Tensor partial_dweight, partial_dbias;
  Tensor before, after, partial_before, partial_after;  // sums of dx's rows; on CUDA only, and see norm_sums_rows
};

struct AttentionGradients {
  Tensor dq, dk, dv;
  Tensor dq_sum;  // (Nq, H, D) f32: dq itself where that is f32
  Tensor delta;   // (Nq, H) f32: scratch
  Tensor d_o, q, k, v, o, lse;
};

/// The mask of dropout, exactly: with key RandomKey::of(seed, site, step), row n draws the Philox blocks
/// draw(hi = mix64(sample_id, position), lo = global channel / 4); word (global channel % 4) of its block decides:
/// kept where (word >> 8) >= dropout_threshold(p). Every backend and every slicing must draw this same mask.
///
/// That of attention: with key RandomKey::of(seed, mix64(site, global head), step), the query at position p of sample s
/// draws the blocks draw(hi = mix64(s, p), lo = key position / 4); word (key position % 4) decides as above.
struct DropoutArgs {
  float p = 0;
  uint64_t site = 0;
  Tensor sample_ids, positions;  // (N) i64, (N) i32
  int64_t channel_begin = 0;     // global index of x's first channel
};

/// Number of the 2^24 values of a word's top bits that drop an element.
inline int32_t dropout_threshold(float p) { return static_cast<int32_t>(std::lround(static_cast<double>(p) * 0x1p24)); }

}  // namespace trireme
