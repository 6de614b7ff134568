#include "device/cuda/context.h"

#include "base/error.h"

namespace trireme {
namespace {

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, index), "cudaDeviceGetAttribute");
  return value;
}

/// Older GPUs lack bf16 arithmetic; kernels for them are not built.
void require_capability(int index) {
  constexpr int kLeastMajor = 8;
  const int major = attribute(cudaDevAttrComputeCapabilityMajor, index);
  if (major < kLeastMajor)
    throw DeviceError(
        cat("GPU ", index, " is a ", cuda_device_name(index), "; at least 8.0 is needed. Use device=cpu"));
}

}  // namespace

CudaContext::CudaContext(int index) : index_(index) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  require_capability(index);
  multiprocessors_ = attribute(cudaDevAttrMultiProcessorCount, index);
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

CudaContextPtr make_cuda_context(Device device) {
  if (device.kind != DeviceKind::cuda) return nullptr;
  return CudaContextPtr(new CudaContext(device.index));
}

void cuda_synchronize(CudaContext* context) {
  if (context != nullptr) check_cuda(cudaStreamSynchronize(context->stream()), "cudaStreamSynchronize");
}

}  // namespace trireme
