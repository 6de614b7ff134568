// Bytes read front to back: of a file or of memory; with compression.h also what a packed file unpacks to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Fills `out` from the front and returns how many bytes there were: fewer only at the end. IoError naming the file.
  virtual size_t read(std::span<std::byte> out) = 0;
  /// Goes to the byte `position` of what read() gives, or to the end where that is nearer.
  virtual void seek(uint64_t position) = 0;
  /// Bytes of the file that stand for the first `position` ones of read(), or for those read so far.
  virtual uint64_t file_position(uint64_t position) const = 0;
  /// Size of the file.
  virtual uint64_t file_bytes() const = 0;
  virtual const std::string& name() const = 0;
};

/// A regular file. IoError where it cannot be opened or is none.
std::unique_ptr<ByteStream> open_file(const std::string& path);

/// Bytes that outlive the stream; `name` stands in errors.
std::unique_ptr<ByteStream> memory_stream(std::string_view bytes, std::string name);

}  // namespace trireme
