// CUDA memory behind device/cuda.h. Every failed call becomes a DeviceError that names it.
#include <cuda_runtime_api.h>

#include "base/error.h"
#include "device/cuda.h"

namespace trireme {
namespace {

void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw DeviceError(cat(call, ": ", cudaGetErrorString(status)));
}

}  // namespace

int cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void* cuda_allocate(int index, int64_t bytes) {
  check(cudaSetDevice(index), "cudaSetDevice");
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (status != cudaSuccess)
    throw DeviceError(cat("GPU ", index, " cannot give ", bytes >> 20, " MiB: ", cudaGetErrorString(status)));
  check(cudaMemset(data, 0, static_cast<size_t>(bytes)), "cudaMemset");
  return data;
}

void cuda_free(int index, void* data) noexcept {
  cudaSetDevice(index);
  cudaFree(data);
}

void cuda_fill(int index, void* data, uint8_t byte, int64_t bytes) {
  check(cudaSetDevice(index), "cudaSetDevice");
  check(cudaMemset(data, byte, static_cast<size_t>(bytes)), "cudaMemset");
}

void cuda_copy(Device to_device, void* to, Device from_device, const void* from, int64_t bytes) {
  check(cudaSetDevice(to_device.kind == DeviceKind::cuda ? to_device.index : from_device.index), "cudaSetDevice");
  check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "cudaMemcpy");
}

}  // namespace trireme
