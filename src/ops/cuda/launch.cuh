// Where kernels run, and how a launch that failed is named. What goes wrong inside a kernel shows at the next
// synchronisation.
#pragma once

#include "device/cuda/context.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

inline cudaStream_t stream_of(const Ctx& ctx) { return ctx.cuda->stream(); }

inline void check_launch(const char* op) { check_cuda(cudaGetLastError(), op); }

}  // namespace trireme::cuda
