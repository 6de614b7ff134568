#include "data/thrift.h"

namespace trireme {
namespace {

constexpr int kMaxDepth = 32;

}  // namespace

uint8_t ThriftReader::byte() {
  expect(position_ < bytes_.size());
  return static_cast<uint8_t>(bytes_[position_++]);
}

uint64_t ThriftReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t part = byte();
    value |= static_cast<uint64_t>(part & 0x7F) << shift;
    if (part < 0x80) return value;
  }
  throw ThriftError{position_};
}

void ThriftReader::skip_bytes(uint64_t count) {
  expect(count <= bytes_.size() - position_);
  position_ += static_cast<size_t>(count);
}

void ThriftReader::fields(FunctionRef<bool(int, Type)> fn) {
  expect(++depth_ <= kMaxDepth);
  int64_t id = 0;
  for (;;) {
    const uint8_t head = byte();
    if (head == stop) break;
    const auto type = static_cast<Type>(head & 0x0F);
    expect(type <= structure);
    id = head >> 4 ? id + (head >> 4) : integer(i16);
    expect(id >= -32768 && id <= 32767);
    if (!fn(static_cast<int>(id), type)) skip(type);
  }
  --depth_;
}

void ThriftReader::elements(FunctionRef<void(Type)> fn) {
  expect(++depth_ <= kMaxDepth);
  const uint8_t head = byte();
  const auto type = static_cast<Type>(head & 0x0F);
  const uint64_t count = head >> 4 == 15 ? varint() : head >> 4;
  expect(count <= bytes_.size() - position_);  // each takes at least a byte
  for (uint64_t i = 0; i < count; ++i) fn(type);
  --depth_;
}

int64_t ThriftReader::integer(Type type) {
  if (type == i8) return static_cast<int8_t>(byte());
  expect(type == i16 || type == i32 || type == i64);
  const uint64_t value = varint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

bool ThriftReader::boolean(Type type) const {
  expect(type == yes || type == no);
  return type == yes;
}

std::string_view ThriftReader::text(Type type) {
  expect(type == binary);
  const uint64_t size = varint();
  const size_t begin = position_;
  skip_bytes(size);
  return {reinterpret_cast<const char*>(bytes_.data()) + begin, static_cast<size_t>(size)};
}

void ThriftReader::skip(Type type) {
  switch (type) {
    case stop:
    case yes:
    case no: return;
    case i8: return skip_bytes(1);
    case i16:
    case i32:
    case i64: varint(); return;
    case real: return skip_bytes(8);
    case binary: return skip_bytes(varint());
    case list:
    case set:
      return elements([&](Type element) {
        if (element == yes || element == no)  // a boolean takes a byte here
          skip_bytes(1);
        else
          skip(element);
      });
    case map: {
      const uint64_t count = varint();
      if (count == 0) return;
      const uint8_t types = byte();
      expect(count <= bytes_.size() - position_ && ++depth_ <= kMaxDepth);
      for (uint64_t i = 0; i < count; ++i) {
        skip(static_cast<Type>(types >> 4));
        skip(static_cast<Type>(types & 0x0F));
      }
      --depth_;
      return;
    }
    case structure: return fields([](int, Type) { return false; });
  }
  throw ThriftError{position_};
}

}  // namespace trireme
