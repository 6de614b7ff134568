// The choice of a greedy decoder: which column of a row of logits is the largest.
#pragma once

#include <span>

#include "tensor/ctx.h"

namespace trireme {

/// ids (N) i32, written: the first column of each row of logits (N, V) f32 that holds its largest value; -1 where the
/// row has a NaN or Inf.
void likeliest(Ctx& ctx, Tensor ids, const Tensor& logits);

/// The same of one row on the host.
int32_t likeliest_of(std::span<const float> logits);

}  // namespace trireme
