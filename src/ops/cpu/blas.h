// The one door to OpenBLAS, which runs on the calling thread only; the splitting is ours.
#pragma once

#include <cstdint>
#include <string>

namespace trireme::cpu {

/// A row-major f32 operand: rows `ld` elements apart, stored transposed where `transposed`.
struct GemmOperand {
  const float* data = nullptr;
  int64_t ld = 0;
  bool transposed = false;
};

/// c (m, n) = alpha * a (m, k) . b (k, n) + beta * c, rows of c `ldc` apart. Any thread may call it.
void sgemm(int64_t m, int64_t n, int64_t k, float alpha, GemmOperand a, GemmOperand b, float beta, float* c,
           int64_t ldc);

/// "OpenBLAS 0.3.21, Haswell kernels". The environment's OPENBLAS_CORETYPE overrules its own choice.
std::string blas_name();

}  // namespace trireme::cpu
