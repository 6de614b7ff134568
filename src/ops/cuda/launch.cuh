// Where kernels run, and how a launch that failed is named. What goes wrong inside a kernel shows at the next
// synchronisation.
#pragma once

#include "device/cuda/context.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// Threads that a processor of the architecture at hand holds (CUDA C++ Programming Guide, "Technical Specifications
/// per Compute Capability"): the most that __launch_bounds__ may ask for.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000
constexpr int kProcessorThreads = 2048;
#elif __CUDA_ARCH__ == 750
constexpr int kProcessorThreads = 1024;
#else
constexpr int kProcessorThreads = 1536;
#endif

inline cudaStream_t stream_of(const Ctx& ctx) { return ctx.cuda->stream(); }

/// Where work is being noted to be repeated (device/cuda.h: cuda_capture): DeviceError, for what an op does here
/// changes with the host.
inline void refuse_to_repeat(const Ctx& ctx, const char* why) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream_of(ctx), &status), "cudaStreamIsCapturing");
  if (status != cudaStreamCaptureStatusNone) throw DeviceError(why);
}

inline void check_launch(const char* op) { check_cuda(cudaGetLastError(), op); }

}  // namespace trireme::cuda
