// Which of cuBLASLt's candidates is the fastest, found by running them.
//
// Trials are short, a few runs each, on a GPU that is at work already. An H200 in training is held back by its power
// limit, and candidates that run for 20 ms each are ranked by energy; yet steps of gpt2-124m made of those winners were
// 1 % slower than steps made of the winners of short trials.
#pragma once

#include <functional>
#include <vector>

#include "ops/cuda/blas_product.h"

namespace trireme::cuda {

/// A copy of what a matrix holds, rows and the gaps between them, or null where there is no room: for trials that
/// change it.
class CopyOf {
 public:
  CopyOf(const Tensor& t, cudaStream_t stream);
  ~CopyOf();
  CopyOf(const CopyOf&) = delete;
  CopyOf& operator=(const CopyOf&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

/// Milliseconds of one f(), which asks for work on the stream of `context`.
float milliseconds(CudaContext& context, const std::function<void()>& f);

/// Whether f() takes clearly less than g() on a GPU that has been at work for a while: both run in turns for a few tens
/// of milliseconds each, since under the power limit the one that moves more bytes loses its lead.
bool is_faster(CudaContext& context, const std::function<void()>& f, const std::function<void()>& g);

/// Multiplies until the GPU is at work as in training, so that the first product is not judged by an idle one.
void warm_up(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm);

/// The fastest of `all`; the first of them unless another is clearly faster. With `accumulate` the
/// result must not be added several times, so the runs go to a copy of c; where there is no room for one it is the
/// first. Waits for the GPU; c holds no sensible result after it.
cublasLtMatmulAlgo_t fastest(const Call& call, const Prepared& p, const std::vector<cublasLtMatmulAlgo_t>& all);

}  // namespace trireme::cuda
