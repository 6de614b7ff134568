// Raw memory of a device. Owners are Buffer (tensor/buffer.h) and nobody else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/device.h"

namespace trireme {

constexpr int64_t kAlignment = 256;  // of every allocation and every arena slice, in bytes

/// `bytes` of zeroed memory, aligned to kAlignment; nullptr on meta. DeviceError where there is not enough.
void* allocate_memory(Device device, int64_t bytes);
void free_memory(Device device, void* data, int64_t bytes) noexcept;
void fill_memory(Device device, void* data, uint8_t byte, int64_t bytes);
void copy_memory(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);

}  // namespace trireme
