// Reading protobuf messages (protobuf.dev, "Encoding") field by field, without a schema and without copies. No length
// is believed before it is compared with the bytes that are there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme {

class ProtoReader;

/// One field, as it lies in the file. The accessors throw IoError where the field has another wire type.
class ProtoField {
 public:
  uint32_t number() const { return number_; }
  uint64_t offset() const { return offset_; }
  std::string_view bytes() const;
  ProtoReader message() const;
  int64_t integer() const;
  float real() const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  friend class ProtoReader;
  enum class Wire : uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };
  void require(Wire wire, const char* wanted) const;

  const std::string* where_ = nullptr;
  uint32_t number_ = 0;
  Wire wire_ = Wire::varint;
  uint64_t value_ = 0;
  std::string_view bytes_;
  uint64_t offset_ = 0;  // of the content, in the file
};

class ProtoReader {
 public:
  /// `where` names the file in errors and, like `bytes`, must outlive the reader; `offset` is where the bytes lie in
  /// it.
  ProtoReader(std::string_view bytes, const std::string& where, uint64_t offset = 0)
      : rest_(bytes), where_(&where), offset_(offset) {}

  /// The next field; false behind the last one. IoError naming file and offset where the bytes are no message.
  bool next(ProtoField& field);

 private:
  uint64_t varint();
  uint64_t fixed(size_t size);
  void skip(size_t size);
  [[noreturn]] void fail(const std::string& what) const;

  std::string_view rest_;
  const std::string* where_;
  uint64_t offset_;
};

}  // namespace trireme
