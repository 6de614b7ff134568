// What the kernels of few_rows.cu and row_sweep.cu are told, and where they find a row of b.
#pragma once

#include "ops/cuda/row_norm.cuh"
#include "ops/cuda/vector.cuh"
#include "tensor/ctx.h"

namespace trireme::cuda {

struct FewRows {
  const char *a, *b, *bias, *residual;
  char *c, *act;                                                 // act: null, or SwiGLU of c's halves, or GELU of c
  int64_t a_pitch, b_pitch, c_pitch, act_pitch, residual_pitch;  // bytes
  int rows, columns, packs;                                      // of c; packs of a row of b
  int pairs, step, apart;                                        // pair i: columns i * step and i * step + apart
  float alpha;
  RowNorm norm;
  bool bias_f32, gelu;
  bool shares;  // a's rows fit into the block's memory
  bool early;   // b was there long before
};

template <class T>
using Packs = Pack<T, kWidth<T>>;

/// The row of b for column `side` of a pair; of a last pair that is none, a row that is there.
__device__ inline const char* row_of(const FewRows& p, int pair, int side) {
  return p.b + min(pair * p.step + side * p.apart, p.columns - 1) * p.b_pitch;
}

/// row_sweep.cu, of operands of type `a` and a c of type `c`: false where it does not take the product, and nothing is
/// done.
bool sweep_row(const Ctx& ctx, const FewRows& p, DType a, DType c);

}  // namespace trireme::cuda
