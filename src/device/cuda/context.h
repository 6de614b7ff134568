// The inside of a CudaContext, for kernels and library calls.
//
// The stream is a blocking one: copies and fills of device/memory.h, which run on the default stream, wait for it and
// are waited for. So a copy_memory after an op sees the op's result.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <memory>

#include "device/cuda.h"

namespace trireme {

/// DeviceError with the call and CUDA's own words, unless `status` is success.
void check_cuda(cudaError_t status, const char* call);

/// Why GPU `index` cannot be used by this build on this machine: no code for it, a library that is missing. Empty where
/// it can.
std::string gpu_problem(int index);

/// What an op keeps from call to call, behind a type of its own.
struct CudaState {
  virtual ~CudaState() = default;
};

class CudaContext {
 public:
  CudaContext(int index, CudaOptions options);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  int index() const { return index_; }
  const CudaOptions& options() const { return options_; }
  cudaStream_t stream() const { return stream_; }
  cublasLtHandle_t blas() const { return blas_; }
  int capability_major() const { return capability_major_; }
  int multiprocessors() const { return multiprocessors_; }
  int l2_bytes() const { return l2_bytes_; }
  int max_shared_bytes() const { return max_shared_bytes_; }  // of a block, where a kernel asks for it

  std::unique_ptr<CudaState> matmul_state, attention_state;
  std::unique_ptr<CudaState> profile;  // device/cuda/profile.cpp

 private:
  int index_;
  CudaOptions options_;
  int capability_major_ = 0, multiprocessors_ = 0, max_shared_bytes_ = 0, l2_bytes_ = 0;
  cudaStream_t stream_ = nullptr;
  cublasLtHandle_t blas_ = nullptr;
};

}  // namespace trireme
