#include "train/device_batches.h"

#include <array>

#include "base/numeric.h"

namespace trireme {
namespace {

constexpr std::array<Tensor Batch::*, 5> kParts = {&Batch::tokens, &Batch::targets, &Batch::weights, &Batch::positions,
                                                   &Batch::sample_ids};
constexpr std::array<DType, 5> kTypes = {DType::i32, DType::i32, DType::f32, DType::i32, DType::i64};

}  // namespace

DeviceBatches::DeviceBatches(Device device, int64_t count, int64_t tokens) : device_(device) {
  if (device == kCpu) return;
  for (const DType type : kTypes) stride_ += round_up(tokens * dtype_size(type), kAlignment);
  memory_ = Buffer("batches", device, count * stride_);
  batches_.resize(static_cast<size_t>(count));
}

std::span<const Batch> DeviceBatches::upload(std::span<const Batch> batches) {
  if (device_ == kCpu) return batches;
  CHECK(batches.size() <= batches_.size(), batches.size(), " micro-batches, room for ", batches_.size());
  for (size_t b = 0; b < batches.size(); ++b) {
    batches_[b] = batches[b];
    int64_t offset = static_cast<int64_t>(b) * stride_;
    for (const auto part : kParts) {
      const Tensor& from = batches[b].*part;
      const Tensor to = memory_.view(from.dtype, from.shape, offset);
      copy_memory(device_, to.data, from.device, from.data, from.bytes());
      batches_[b].*part = to;
      offset += round_up(from.bytes(), kAlignment);
    }
  }
  return std::span<const Batch>(batches_).first(batches.size());
}

}  // namespace trireme
