// TensorBoard's event files, written by hand: TFRecord framing (length, masked CRC-32C, payload, masked CRC-32C) around
// protobuf Event messages of which we need four fields (tensorflow/core/util/event.proto, framework/summary.proto).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

class EventsWriter {
 public:
  /// Starts a new events file in `folder` (made where missing). A run that continues after `resumed_step` > 0 tells
  /// TensorBoard to forget what earlier files hold of later steps. IoError where the file cannot be written.
  EventsWriter(const std::string& folder, int64_t resumed_step);

  /// One point of the curve `tag`. NaN and infinities are stored as they are.
  void scalar(std::string_view tag, int64_t step, double value);
  /// Hands what was written to the operating system, so that a killed process loses nothing before this call.
  void flush();

  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void record(std::string_view event);

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// The checksum of TFRecord files: CRC-32C, rotated and offset.
uint32_t masked_crc32c(std::span<const std::byte> bytes);

}  // namespace trireme
