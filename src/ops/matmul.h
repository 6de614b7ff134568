// Matrix products. Storage f32, bf16 or f16 for every operand, or 8-bit floats with scales for both; sums in f32.
#pragma once

#include <string>

#include "tensor/ctx.h"

namespace trireme {

struct NormArgs;  // ops/norm.h

struct MatmulOptions {
  bool transpose_a = false;  // a is stored (K, M)
  bool transpose_b = false;  // b is stored (N, K)
  bool accumulate = false;   // c += instead of c =; a GPU may round what it adds to a 16-bit c before
  float alpha = 1;
  const Tensor* bias = nullptr;  // (N), added to every row of c; not with accumulate

  // Of operands in 8-bit floats (ops/float8.h), (1) f32. a is then (M, K) and b (N, K), not both e5m2, sizes multiples
  // of 16, and c bf16 or f32; on a GPU sums for a bf16 c keep fewer bits on the way.
  const Tensor *a_scale = nullptr, *b_scale = nullptr;

  // a's rows are normed first and rounded to a's type, the bits of the op by itself; not with transpose_a. No pass of
  // its own where takes_norms_along().
  const NormArgs* norm = nullptr;

  // What follows takes no second pass where the backend can: at most one of the five, c's dtype, contiguous rows; not
  // with accumulate.

  // (M, N): added to c. A c of 16 bits is rounded before, as by two ops; a GPU may leave that out, not for up to four
  // rows. Does not overlap c.
  const Tensor* residual = nullptr;

  // The bits with GELU may differ from those of two ops by a rounding.
  const Tensor* before_gelu = nullptr;    // (M, N), written: what c would have been; c is its GELU
  const Tensor* times_gelu_of = nullptr;  // (M, N), read: c is multiplied by GELU' of it

  // (N) f32, added: the sums over the rows of c as they are stored, with times_gelu_of only. Fixed order of sums.
  const Tensor* bias_gradient = nullptr;

  // (M, N / 2), written: SwiGLU of c, whose halves are gate and up. The same bits as those of the op by itself.
  const Tensor* swiglu = nullptr;

  // (M, 2N), read and written: gate and up. Their gradients take their place, c would be that of SwiGLU of them, and is
  // scratch. Not with bias. Rounded as by two ops.
  const Tensor* before_swiglu = nullptr;
};

/// c (M, N) = alpha * a (M, K) . b (K, N) [+ bias]. Rank 2, unit stride in the last dimension as stored,
/// any row stride. c must not overlap a or b.
void matmul(Ctx& ctx, Tensor c, const Tensor& a, const Tensor& b, const MatmulOptions& options = {});

/// Whether products of so many rows take a norm along in their own pass: a single one on a GPU where nothing is
/// trained, if it and the matrix lie in whole packs of 16 bytes.
bool takes_norms_along(const Ctx& ctx, int64_t rows);

/// From now on products of f32 on this GPU round their operands to TF32, 10 bits behind the leading one; sums stay f32.
/// Of no effect before compute capability 8.0, and for null, a CPU.
void set_tf32(CudaContext* cuda, bool on);

/// The library that computes large products; on the CPU with the kernels it chose for this machine.
std::string matmul_library(DeviceKind backend = DeviceKind::cpu);

/// out (C), f32, added: the sum over the rows of x (N, C). Fixed order of sums. `largest`, where defined: written with
/// the largest magnitude in x, as Measured has it.
void sum_rows(Ctx& ctx, Tensor out, const Tensor& x, const Tensor& largest = {});

}  // namespace trireme
