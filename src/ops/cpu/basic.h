// CPU kernels of the elementwise helpers; the contract is in ops/basic.h.
#pragma once

#include "tensor/ctx.h"

namespace trireme::cpu {

void fill(Ctx& ctx, const Tensor& y, float value);
void copy(Ctx& ctx, const Tensor& y, const Tensor& x);
void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b);
void scale(Ctx& ctx, const Tensor& y, float factor);
double sum_squares(Ctx& ctx, const Tensor& x);
int64_t find_nonfinite(Ctx& ctx, const Tensor& x);

}  // namespace trireme::cpu
