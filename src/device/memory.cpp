#include "device/memory.h"

#include <sys/mman.h>

#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "device/cuda.h"

namespace trireme {

void* allocate_memory(Device device, int64_t bytes) {
  if (device.kind == DeviceKind::meta || bytes == 0) return nullptr;
  if (device.kind == DeviceKind::cuda) return cuda_allocate(device.index, bytes);
  // Pages straight from the kernel: zeroed on first touch, page-aligned, and given back at once.
  void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    throw DeviceError(
        cat("cannot allocate ", bytes >> 20,
            " MiB of memory; use a smaller data.micro_batch_size, memory.recompute=block or a smaller model"));
  madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return data;
}

void free_memory(Device device, void* data, int64_t bytes) noexcept {
  if (data == nullptr) return;
  if (device.kind == DeviceKind::cuda)
    cuda_free(device.index, data);
  else
    munmap(data, static_cast<size_t>(bytes));
}

void fill_memory(Device device, void* data, uint8_t byte, int64_t bytes) {
  if (bytes == 0 || device.kind == DeviceKind::meta) return;
  if (device.kind == DeviceKind::cuda)
    cuda_fill(device.index, data, byte, bytes);
  else
    std::memset(data, byte, static_cast<size_t>(bytes));
}

void copy_memory(Device to_device, void* to, Device from_device, const void* from, int64_t bytes) {
  if (bytes == 0 || to_device.kind == DeviceKind::meta) return;
  CHECK(from_device.kind != DeviceKind::meta, "a meta tensor has no data");
  if (to_device.kind == DeviceKind::cuda || from_device.kind == DeviceKind::cuda)
    cuda_copy(to_device, to, from_device, from, bytes);
  else
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

void copy_memory_rows(Device to_device, void* to, int64_t to_pitch, Device from_device, const void* from,
                      int64_t from_pitch, int64_t bytes, int64_t rows) {
  if (bytes == 0 || rows == 0 || to_device.kind == DeviceKind::meta) return;
  CHECK(from_device.kind != DeviceKind::meta, "a meta tensor has no data");
  if (to_device.kind == DeviceKind::cuda || from_device.kind == DeviceKind::cuda)
    return cuda_copy_rows(to_device, to, to_pitch, from_device, from, from_pitch, bytes, rows);
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(static_cast<char*>(to) + r * to_pitch, static_cast<const char*>(from) + r * from_pitch,
                static_cast<size_t>(bytes));
}

}  // namespace trireme
