// Where kernels run, and how a launch that failed is named. What goes wrong inside a kernel shows at the next
// synchronisation.
#pragma once

#include "device/cuda/context.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

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
