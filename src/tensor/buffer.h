// The only owner of memory: a named block of a device.
#pragma once

#include <string>
#include <utility>

#include "device/memory.h"
#include "tensor/tensor.h"

namespace trireme {

class Buffer {
 public:
  Buffer() = default;
  /// `bytes` of zeroed memory. On meta nothing is allocated, but the size counts.
  Buffer(std::string name, Device device, int64_t bytes)
      : name_(std::move(name)), device_(device), bytes_(bytes), data_(allocate_memory(device, bytes)) {}
  ~Buffer() { free_memory(device_, data_, bytes_); }
  Buffer(Buffer&& o) noexcept
      : name_(std::move(o.name_)),
        device_(o.device_),
        bytes_(std::exchange(o.bytes_, 0)),
        data_(std::exchange(o.data_, nullptr)) {}
  Buffer& operator=(Buffer&& o) noexcept {
    std::swap(name_, o.name_);
    std::swap(device_, o.device_);
    std::swap(bytes_, o.bytes_);
    std::swap(data_, o.data_);
    return *this;
  }

  const std::string& name() const { return name_; }
  Device device() const { return device_; }
  int64_t bytes() const { return bytes_; }
  void* data() const { return data_; }

  /// A view of `shape` from byte `offset` on.
  Tensor view(DType dtype, const Shape& shape, int64_t offset = 0) const {
    CHECK(offset >= 0 && offset + shape.numel() * dtype_size(dtype) <= bytes_, name_, " of ", bytes_,
          " bytes is too small for ", shape.str(), " at ", offset);
    return {data_ ? static_cast<char*>(data_) + offset : nullptr, dtype, device_, shape};
  }

 private:
  std::string name_;
  Device device_ = kCpu;
  int64_t bytes_ = 0;
  void* data_ = nullptr;
};

}  // namespace trireme
