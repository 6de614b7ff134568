#include "device/cuda/context.h"

#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, index), "cudaDeviceGetAttribute");
  return value;
}

/// The first use of a GPU by this process: where others hold its memory it fails here already.
void set_first_device(int index) {
  const cudaError_t status = cudaSetDevice(index);
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not for a later call to stumble over
  throw DeviceError(
      cat("GPU ", index, " cannot be used: ", cudaGetErrorString(status),
          status == cudaErrorMemoryAllocation ? "; other processes hold its memory (nvidia-smi lists them)" : ""));
}

/// What CUDA and its libraries take for themselves does not fit where others hold nearly all.
void require_free_memory(int index) {
  constexpr int64_t kLeast = int64_t{512} << 20;
  const CudaMemory memory = cuda_memory(index);
  if (memory.free < kLeast)
    throw DeviceError(cat("GPU ", index, " (", cuda_device_name(index), ") has ", memory.free >> 20, " MiB free of ",
                          memory.total >> 20, " MiB; other processes hold the rest (nvidia-smi lists them)"));
}

}  // namespace

CudaContext::CudaContext(int index, CudaOptions options) : index_(index), options_(std::move(options)) {
  set_first_device(index);
  if (const std::string problem = gpu_problem(index); !problem.empty())
    throw DeviceError(problem + "; or use device=cpu");
  require_free_memory(index);
  capability_major_ = attribute(cudaDevAttrComputeCapabilityMajor, index);
  multiprocessors_ = attribute(cudaDevAttrMultiProcessorCount, index);
  l2_bytes_ = attribute(cudaDevAttrL2CacheSize, index);
  max_shared_bytes_ = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
  check_cuda(cudaStreamCreate(&stream_), "cudaStreamCreate");
  const cublasStatus_t status = cublasLtCreate(&blas_);
  if (status != CUBLAS_STATUS_SUCCESS) {
    cudaStreamDestroy(stream_);
    throw DeviceError(cat("cublasLtCreate: ", cublasLtGetStatusString(status)));
  }
}

CudaContext::~CudaContext() {
  cudaSetDevice(index_);
  cudaStreamSynchronize(stream_);
  matmul_state.reset();
  attention_state.reset();
  profile.reset();
  cublasLtDestroy(blas_);
  cudaStreamDestroy(stream_);
}

void CudaContextDeleter::operator()(CudaContext* context) const noexcept { delete context; }

CudaContextPtr make_cuda_context(Device device, const CudaOptions& options) {
  if (device.kind != DeviceKind::cuda) return nullptr;
  return CudaContextPtr(new CudaContext(device.index, options));
}

void cuda_synchronize(CudaContext* context) {
  if (context != nullptr) check_cuda(cudaStreamSynchronize(context->stream()), "cudaStreamSynchronize");
}

}  // namespace trireme
