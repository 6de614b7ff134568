// The one door to OpenBLAS, which runs on the calling thread only; the splitting is ours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

/// OpenBLAS takes its SSE3 kernels, a tenth as fast, on a CPU that is younger than it. The name for OPENBLAS_CORETYPE
/// that suits such a CPU better than the kernels `chosen`; empty where they are not that fallback.
std::string_view better_blas_kernels(std::string_view chosen, bool has_avx2, bool has_avx512);

/// First in main(): where OpenBLAS fell back and the environment names no OPENBLAS_CORETYPE, sets it and starts this
/// program anew with the arguments `argv`, because OpenBLAS chooses once, while it is loaded.
void restart_with_better_blas(char** argv);

}  // namespace trireme::cpu
