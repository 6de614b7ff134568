#include "tokenizer/protobuf.h"

#include <bit>

#include "base/error.h"

namespace trireme {

bool ProtoReader::next(ProtoField& field) {
  if (rest_.empty()) return false;
  const uint64_t key = varint();
  if (key >> 3 == 0 || key >> 32 != 0) fail(cat("a field number of ", key >> 3));
  field.where_ = where_;
  field.number_ = static_cast<uint32_t>(key >> 3);
  field.wire_ = static_cast<ProtoField::Wire>(key & 7);
  field.bytes_ = {};
  field.offset_ = offset_;
  switch (field.wire_) {
    case ProtoField::Wire::varint: field.value_ = varint(); return true;
    case ProtoField::Wire::fixed64: field.value_ = fixed(8); return true;
    case ProtoField::Wire::fixed32: field.value_ = fixed(4); return true;
    case ProtoField::Wire::length: {
      const uint64_t size = varint();
      if (size > rest_.size())
        fail(cat("field ", field.number_, " of ", size, " bytes, where ", rest_.size(), " are left"));
      field.bytes_ = rest_.substr(0, size);
      field.offset_ = offset_;
      skip(size);
      return true;
    }
  }
  fail(cat("field ", field.number_, " of the unknown wire type ", key & 7));
}

uint64_t ProtoReader::varint() {
  uint64_t value = 0;
  for (size_t i = 0; i < 10; ++i) {
    if (i == rest_.size()) fail("a number that is cut off");
    const auto byte = static_cast<uint8_t>(rest_[i]);
    value |= uint64_t{byte & 127U} << (7 * i);
    if (byte < 128) {
      skip(i + 1);
      return value;
    }
  }
  fail("a number of more than 10 bytes");
}

uint64_t ProtoReader::fixed(size_t size) {
  if (size > rest_.size()) fail("a number that is cut off");
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
  skip(size);
  return value;
}

void ProtoReader::skip(size_t size) {
  rest_.remove_prefix(size);
  offset_ += size;
}

void ProtoReader::fail(const std::string& what) const {
  throw IoError(cat(*where_, ": byte ", offset_, ": ", what, "; the file is truncated or no SentencePiece model"));
}

void ProtoField::fail(const std::string& what) const { throw IoError(cat(*where_, ": byte ", offset_, ": ", what)); }

void ProtoField::require(Wire wire, const char* wanted) const {
  if (wire_ == wire) return;
  fail(cat("field ", number_, ": expected ", wanted, ", found wire type ", static_cast<int>(wire_)));
}

std::string_view ProtoField::bytes() const {
  require(Wire::length, "a string");
  return bytes_;
}

ProtoReader ProtoField::message() const {
  require(Wire::length, "a message");
  return ProtoReader(bytes_, *where_, offset_);
}

int64_t ProtoField::integer() const {
  require(Wire::varint, "an integer");
  return static_cast<int64_t>(value_);
}

float ProtoField::real() const {
  require(Wire::fixed32, "a float");
  return std::bit_cast<float>(static_cast<uint32_t>(value_));
}

}  // namespace trireme
