#include "ops/cpu/blas.h"

#include <cblas.h>

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

}  // namespace trireme::cpu
