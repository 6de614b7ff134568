// Which of cuBLASLt's candidates is the fastest, found by running them.
//
// A large GPU that only multiplies reaches its power limit within a tenth of a second, and from then on what counts is
// the energy of a product: the order of the candidates is another than in a short trial (by up to 10 % of the time on
// an H200). So each runs long enough for the clock to settle before it is timed.
#pragma once

#include <functional>
#include <vector>

#include "ops/cuda/blas_product.h"

namespace trireme::cuda {

/// Milliseconds of one f(), which asks for work on the stream of `context`, under lasting load.
float milliseconds_under_load(CudaContext& context, const std::function<void()>& f);

/// Multiplies until the GPU is as hot as in training, so that the first product is not judged by a cold one.
void warm_up(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm);

/// The fastest of `all` under lasting load; the first of them unless another is clearly faster. With `accumulate` the
/// result must not be added several times, so the runs go to a copy of c; where there is no room for one it is the
/// first. Waits for the GPU; c holds no sensible result after it.
cublasLtMatmulAlgo_t fastest(const Call& call, const Prepared& p, const std::vector<cublasLtMatmulAlgo_t>& all);

}  // namespace trireme::cuda
