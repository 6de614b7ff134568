#include "ops/cpu/blas.h"

#include <cblas.h>
#include <unistd.h>

#include <cstdlib>

#include "base/numeric.h"

namespace trireme::cpu {

void sgemm(int64_t m, int64_t n, int64_t k, float alpha, GemmOperand a, GemmOperand b, float beta, float* c,
           int64_t ldc) {
  [[maybe_unused]] static const bool alone = (openblas_set_num_threads(1), true);
  const auto flag = [](bool transposed) { return transposed ? CblasTrans : CblasNoTrans; };
  cblas_sgemm(CblasRowMajor, flag(a.transposed), flag(b.transposed), narrow<blasint>(m), narrow<blasint>(n),
              narrow<blasint>(k), alpha, a.data, narrow<blasint>(a.ld), b.data, narrow<blasint>(b.ld), beta, c,
              narrow<blasint>(ldc));
}

std::string blas_name() {
  const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 DYNAMIC_ARCH ..."
  return cat(config.substr(0, config.find(' ', config.find(' ') + 1)), ", ", openblas_get_corename(), " kernels");
}

std::string_view better_blas_kernels(std::string_view chosen, bool has_avx2, bool has_avx512) {
  if (chosen != "Prescott" || !has_avx2) return {};
  return has_avx512 ? "SkylakeX" : "Haswell";
}

void restart_with_better_blas([[maybe_unused]] char** argv) {
#ifdef __x86_64__
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const std::string kernels(better_blas_kernels(openblas_get_corename(), has_avx2, has_avx512));
  if (kernels.empty() || std::getenv("OPENBLAS_CORETYPE") != nullptr) return;
  if (setenv("OPENBLAS_CORETYPE", kernels.c_str(), 1) == 0) execv("/proc/self/exe", argv);
#endif
}

}  // namespace trireme::cpu
