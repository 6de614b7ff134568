// What a packed file unpacks to, as a stream: .gz in gzip.cpp, .zst in zstd.cpp. Memory is that of the format's window.
#pragma once

#include <memory>
#include <vector>

#include "base/byte_stream.h"

namespace trireme {

class UnpackingStream : public ByteStream {
 public:
  explicit UnpackingStream(std::unique_ptr<ByteStream> packed) : packed_(std::move(packed)), input_(kInputBytes) {}

  size_t read(std::span<std::byte> out) override;
  /// Unpacks up to there, from the beginning where it lies back.
  void seek(uint64_t position) override;
  uint64_t file_position(uint64_t) const override { return taken_; }
  uint64_t file_bytes() const override { return packed_->file_bytes(); }
  const std::string& name() const override { return packed_->name(); }

 protected:
  /// Unpacks from the front of `input`, which it cuts off; returns how many bytes it gave. An empty input is the end of
  /// the file. 0 where it needs more input.
  virtual size_t unpack(std::span<std::byte> out, std::span<const std::byte>& input) = 0;
  /// Begins anew.
  virtual void restart() = 0;
  /// IoError that names the file and the place in it.
  [[noreturn]] void fail(const std::string& detail) const;

 private:
  static constexpr size_t kInputBytes = size_t{64} << 10;

  std::unique_ptr<ByteStream> packed_;
  std::vector<std::byte> input_;
  std::span<const std::byte> left_;    // of input_, not unpacked yet
  uint64_t position_ = 0, taken_ = 0;  // bytes given; bytes of the file that were unpacked
};

/// One or more gzip members. IoError naming the file and the byte where it is damaged or cut short.
std::unique_ptr<ByteStream> unpack_gzip(std::unique_ptr<ByteStream> packed);
/// One or more zstd frames with a window of at most 128 MiB.
std::unique_ptr<ByteStream> unpack_zstd(std::unique_ptr<ByteStream> packed);

/// Unpacks a raw deflate stream or zstd frames that fill `out` exactly; false where they are damaged or do not.
bool inflate_block(std::span<std::byte> out, std::span<const std::byte> packed);
bool unzstd_block(std::span<std::byte> out, std::span<const std::byte> packed);

/// CRC-32 as ZIP and gzip have it.
uint32_t crc32_of(std::span<const std::byte> bytes);

}  // namespace trireme
