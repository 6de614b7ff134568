// A step's micro-batches in the memory of the device that trains on them.
#pragma once

#include <span>
#include <vector>

#include "tensor/batch.h"
#include "tensor/buffer.h"

namespace trireme {

class DeviceBatches {
 public:
  DeviceBatches() = default;
  /// Room for `count` micro-batches of at most `tokens` tokens; none for the CPU, which reads the loader's memory.
  DeviceBatches(Device device, int64_t count, int64_t tokens);

  /// The batches there, valid until the next call. At most `count` of them; their segments stay where they are.
  std::span<const Batch> upload(std::span<const Batch> batches);
  int64_t bytes() const { return memory_.bytes(); }

 private:
  Device device_ = kCpu;
  int64_t stride_ = 0;  // bytes of a micro-batch
  Buffer memory_;
  std::vector<Batch> batches_;
};

}  // namespace trireme
