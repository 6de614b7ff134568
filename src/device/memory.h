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
/// Ordered behind all ops asked for before, where a GPU takes part.
void copy_memory(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);
/// `rows` runs of `bytes`, which lie `to_pitch` and `from_pitch` bytes apart.
void copy_memory_rows(Device to_device, void* to, int64_t to_pitch, Device from_device, const void* from,
                      int64_t from_pitch, int64_t bytes, int64_t rows);

}  // namespace trireme
