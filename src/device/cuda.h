// What the rest of the program needs of CUDA's runtime. Linked to the real thing or to no_cuda.cpp.
#pragma once

#include <cstdint>

#include "device/device.h"

namespace trireme {

/// Number of usable GPUs; 0 where this binary has no CUDA.
int cuda_device_count();

void* cuda_allocate(int index, int64_t bytes);
void cuda_free(int index, void* data) noexcept;
void cuda_fill(int index, void* data, uint8_t byte, int64_t bytes);
void cuda_copy(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);

}  // namespace trireme
