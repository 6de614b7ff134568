// Structs in Thrift's compact protocol (thrift-compact-protocol.md), as far as Parquet's metadata needs them: a cursor
// that visits the fields of a struct, reads those that the caller knows and skips the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/thread_pool.h"

namespace trireme {

/// Thrown where the bytes are no such struct, or end within it. Who holds the file turns it into an IoError.
struct ThriftError {
  size_t position = 0;
};

class ThriftReader {
 public:
  explicit ThriftReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// Wire types, of a field or of a list's elements.
  enum Type : uint8_t { stop, yes, no, i8, i16, i32, i64, real, binary, list, set, map, structure };

  /// Calls fn(id, type) for each field of a struct; fn returns whether it has read the field.
  void fields(FunctionRef<bool(int, Type)> fn);
  /// Calls fn(element type) for each element of a list, which fn reads.
  void elements(FunctionRef<void(Type)> fn);
  int64_t integer(Type type);
  bool boolean(Type type) const;
  std::string_view text(Type type);
  void skip(Type type);

  size_t position() const { return position_; }

 private:
  uint8_t byte();
  uint64_t varint();
  void skip_bytes(uint64_t count);
  void expect(bool good) const {
    if (!good) throw ThriftError{position_};
  }

  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  int depth_ = 0;
};

}  // namespace trireme
