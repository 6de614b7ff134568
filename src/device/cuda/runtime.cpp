// CUDA memory behind device/cuda.h. Every failed call becomes a DeviceError that names it.
#include <cuda_runtime_api.h>

#include "base/error.h"
#include "device/architectures.h"
#include "device/cuda/context.h"
#include "device/cuda/libraries.h"

namespace trireme {

void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw DeviceError(cat(call, ": ", cudaGetErrorString(status)));
}

bool built_with_cuda() { return true; }

int cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string gpu_problem(int index) {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "cudaDeviceGetAttribute");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), "cudaDeviceGetAttribute");
  if (const std::string problem = architecture_problem(TRIREME_CUDA_ARCHITECTURES, major, minor); !problem.empty())
    return cat("GPU ", index, " is a ", cuda_device_name(index), ": ", problem);
  if (const std::string& problem = blas_library().problem(); !problem.empty())
    return cat("cuBLASLt of CUDA ", CUDART_VERSION / 1000, " is missing: ", problem,
               "; install it, or name its folder in LD_LIBRARY_PATH");
  return "";
}

std::string cuda_problem() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return gpu_problem(0);
  const auto version = [](int v) { return cat(v / 1000, ".", v % 1000 / 10); };
  int driver = 0, runtime = 0;
  if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess &&
      cudaRuntimeGetVersion(&runtime) == cudaSuccess && driver > 0)
    return cat("the NVIDIA driver is too old: it is made for CUDA ", version(driver), ", this trireme needs ",
               version(runtime), "; install a newer driver");
  if (status == cudaErrorInsufficientDriver)
    return "no NVIDIA driver was found (nvidia-smi shows it where there is one)";
  if (status == cudaSuccess || status == cudaErrorNoDevice)
    return "the NVIDIA driver lists no GPU (is CUDA_VISIBLE_DEVICES set?)";
  return cat("no usable GPU was found: ", cudaGetErrorString(status), " (nvidia-smi may say more)");
}

CudaMemory cuda_memory(int index) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

std::string cuda_device_name(int index) {
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return cat(properties.name, ", compute capability ", properties.major, ".", properties.minor);
}

void* cuda_allocate(int index, int64_t bytes) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (status != cudaSuccess) {
    cudaGetLastError();  // not for a later kernel to stumble over
    const CudaMemory memory = cuda_memory(index);
    throw DeviceError(
        cat("GPU ", index, " cannot give ", bytes >> 20, " MiB: ", cudaGetErrorString(status), "; ", memory.free >> 20,
            " of its ", memory.total >> 20,
            " MiB are free (nvidia-smi lists who holds the others); use a smaller model, shorter or fewer "
            "sequences, or the CPU"));
  }
  check_cuda(cudaMemset(data, 0, static_cast<size_t>(bytes)), "cudaMemset");
  return data;
}

void cuda_free(int index, void* data) noexcept {
  cudaSetDevice(index);
  cudaFree(data);
}

void cuda_fill(int index, void* data, uint8_t byte, int64_t bytes) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  check_cuda(cudaMemset(data, byte, static_cast<size_t>(bytes)), "cudaMemset");
}

void cuda_copy(Device to_device, void* to, Device from_device, const void* from, int64_t bytes) {
  check_cuda(cudaSetDevice(to_device.kind == DeviceKind::cuda ? to_device.index : from_device.index), "cudaSetDevice");
  check_cuda(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "cudaMemcpy");
}

void cuda_copy_rows(Device to_device, void* to, int64_t to_pitch, Device from_device, const void* from,
                    int64_t from_pitch, int64_t bytes, int64_t rows) {
  check_cuda(cudaSetDevice(to_device.kind == DeviceKind::cuda ? to_device.index : from_device.index), "cudaSetDevice");
  check_cuda(cudaMemcpy2D(to, static_cast<size_t>(to_pitch), from, static_cast<size_t>(from_pitch),
                          static_cast<size_t>(bytes), static_cast<size_t>(rows), cudaMemcpyDefault),
             "cudaMemcpy2D");
}

}  // namespace trireme
