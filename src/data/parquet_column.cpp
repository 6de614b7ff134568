#include "data/parquet_column.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/snappy.h"
#include "base/unpacking_stream.h"
#include "data/thrift.h"

namespace trireme {
namespace {

constexpr size_t kHeaderBytes = size_t{64} << 10;  // a page header with its statistics is shorter, as a rule
constexpr int64_t kDataPage = 0, kDictionaryPage = 2, kDataPage2 = 3;
constexpr int64_t kPlain = 0, kPlainDictionary = 2, kDictionary = 8;
constexpr int64_t kNotPacked = 0, kSnappy = 1, kZstd = 6;
constexpr uint64_t kSnappyRatio = 64, kZstdRatio = 40000;  // no page unpacks to more times its bytes

uint32_t load32(std::span<const std::byte> bytes) {
  uint32_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

bool ParquetRuns::start_run() {
  uint64_t head = 0;
  for (int shift = 0;; shift += 7) {
    if (bytes_.empty() || shift > 56) return false;
    const auto part = static_cast<uint8_t>(bytes_[0]);
    bytes_ = bytes_.subspan(1);
    head |= static_cast<uint64_t>(part & 0x7F) << shift;
    if (part < 0x80) break;
  }
  packed_ = (head & 1) != 0;
  const auto width = static_cast<size_t>(width_);
  if (packed_) {  // groups of 8 numbers; the last one of a page may be cut short
    const uint64_t groups = head >> 1;
    left_ = width == 0 ? 8 * groups : 8 * std::min<uint64_t>(groups, (bytes_.size() + width - 1) / width);
    begin_ = bit_ = 0;
    return left_ > 0;
  }
  left_ = head >> 1;
  const size_t size = (width + 7) / 8;
  if (bytes_.size() < size) return false;
  value_ = 0;
  if (size > 0) std::memcpy(&value_, bytes_.data(), size);
  bytes_ = bytes_.subspan(size);
  return true;
}

bool ParquetRuns::next(uint32_t& value) {
  while (left_ == 0)
    if (!start_run()) return false;
  --left_;
  if (!packed_) {
    value = value_;
    return true;
  }
  uint64_t window = 0;
  const auto width = static_cast<size_t>(width_);
  const size_t first = bit_ / 8;
  for (size_t i = 0; i < 5 && first + i < bytes_.size(); ++i)
    window |= static_cast<uint64_t>(bytes_[first + i]) << (8 * i);
  if (bit_ + width > 8 * bytes_.size()) return false;
  value = static_cast<uint32_t>((window >> (bit_ % 8)) & ((uint64_t{1} << width) - 1));
  bit_ += width;
  if (left_ == 0) bytes_ = bytes_.subspan(std::min(bytes_.size(), (bit_ + 7) / 8));
  return true;
}

struct ParquetColumnReader::Header {
  int64_t type = -1, unpacked_bytes = -1, packed_bytes = -1;
  int64_t num_values = -1, encoding = -1;
  int64_t definition_bytes = 0, repetition_bytes = 0;  // of version 2
  bool packed = true;
};

void ParquetColumnReader::fail(const std::string& detail) const {
  throw IoError(cat(file_.name(), ": byte ", at_, ": column '", meta_.columns[column_].name, "': ", detail,
                    "; make or copy the file again"));
}

void ParquetColumnReader::start_group(size_t group) {
  chunk_ = &meta_.groups[group][column_];
  if (chunk_->codec != kNotPacked && chunk_->codec != kSnappy && chunk_->codec != kZstd)
    throw ConfigError(cat(file_.name(), ": column '", meta_.columns[column_].name, "' is packed by codec ",
                          chunk_->codec, "; 0 (none), 1 (snappy) and 6 (zstd) are read"));
  at_ = static_cast<uint64_t>(chunk_->begin);
  end_ = at_ + static_cast<uint64_t>(chunk_->bytes);
  words_.clear();
  values_left_ = 0;
}

ParquetColumnReader::Header ParquetColumnReader::read_header() {
  using Type = ThriftReader::Type;
  Header header;
  const size_t room = static_cast<size_t>(std::min<uint64_t>(end_ - at_, kHeaderBytes));
  packed_.resize(room);
  file_.seek(at_);
  packed_.resize(file_.read(packed_));
  ThriftReader in(packed_);
  try {
    const auto body = [&](int id, Type type) {  // of either version
      switch (id) {
        case 1: header.num_values = in.integer(type); return true;
        case 2:
          if (header.type == kDataPage2) return false;
          header.encoding = in.integer(type);
          return true;
        case 4:
          if (header.type != kDataPage2) return false;
          header.encoding = in.integer(type);
          return true;
        case 5:
          header.definition_bytes = header.type == kDataPage2 ? in.integer(type) : 0;
          return header.type == kDataPage2;
        case 6:
          header.repetition_bytes = header.type == kDataPage2 ? in.integer(type) : 0;
          return header.type == kDataPage2;
        case 7: header.packed = header.type == kDataPage2 ? in.boolean(type) : true; return header.type == kDataPage2;
        default: return false;
      }
    };
    in.fields([&](int id, Type type) {
      switch (id) {
        case 1: header.type = in.integer(type); return true;
        case 2: header.unpacked_bytes = in.integer(type); return true;
        case 3: header.packed_bytes = in.integer(type); return true;
        case 5:
        case 7:
        case 8:
          if (type != ThriftReader::structure) return false;
          in.fields(body);
          return true;
        default: return false;
      }
    });
  } catch (const ThriftError& error) {
    at_ += error.position;
    fail("the header of this page is damaged");
  }
  const uint64_t left = end_ - at_ - in.position();
  if (header.unpacked_bytes < 0 || header.packed_bytes < 0 || static_cast<uint64_t>(header.packed_bytes) > left)
    fail(cat("a page of ", header.packed_bytes, " bytes, ", header.unpacked_bytes, " unpacked, does not fit into the ",
             left, " bytes that are left of its column"));
  at_ += in.position();
  return header;
}

std::span<const std::byte> ParquetColumnReader::unpack(std::vector<std::byte>& memory,
                                                       std::span<const std::byte> packed, uint64_t size) {
  const bool snappy = chunk_->codec == kSnappy;
  const uint64_t most = packed.size() * (snappy ? kSnappyRatio : kZstdRatio) + 64;
  if (size > most) fail(cat(packed.size(), " bytes cannot unpack to ", size));
  memory.resize(static_cast<size_t>(size));
  if (!(snappy ? unsnappy_block(memory, packed) : unzstd_block(memory, packed)))
    fail(cat("this page is no ", snappy ? "Snappy" : "zstd", " data of ", size, " bytes"));
  return memory;
}

std::string_view ParquetColumnReader::plain(std::span<const std::byte>& bytes) {
  if (bytes.size() < 4 || load32(bytes) > bytes.size() - 4) fail("a text does not fit into its page");
  const size_t length = load32(bytes);
  const std::string_view value(reinterpret_cast<const char*>(bytes.data()) + 4, length);
  bytes = bytes.subspan(4 + length);
  return value;
}

void ParquetColumnReader::read_dictionary(const Header& header, std::span<const std::byte> packed) {
  if (chunk_->codec == kNotPacked)
    dictionary_.assign(packed.begin(), packed.end());
  else
    unpack(dictionary_, packed, static_cast<uint64_t>(header.unpacked_bytes));
  if (header.encoding != kPlain && header.encoding != kPlainDictionary)
    fail(cat("the dictionary has encoding ", header.encoding, ", only 0 (PLAIN) is read"));
  std::span<const std::byte> rest = dictionary_;
  words_.clear();
  for (int64_t i = 0; i < header.num_values; ++i) words_.push_back(plain(rest));
}

void ParquetColumnReader::split_levels(const Header& header, std::span<const std::byte>& body) {
  has_levels_ = meta_.columns[column_].optional;
  if (header.type == kDataPage2 || !has_levels_) return;
  if (body.size() < 4 || load32(body) > body.size() - 4) fail("the levels do not fit into their page");
  levels_ = ParquetRuns(body.subspan(4, load32(body)), 1);
  body = body.subspan(4 + load32(body));
}

void ParquetColumnReader::read_values(const Header& header, std::span<const std::byte> packed) {
  std::span<const std::byte> body = packed;
  uint64_t size = static_cast<uint64_t>(header.unpacked_bytes);
  if (header.type == kDataPage2) {  // levels come first and are never packed
    const int64_t levels = header.definition_bytes + header.repetition_bytes;
    if (header.definition_bytes < 0 || header.repetition_bytes < 0 || levels > header.packed_bytes ||
        levels > header.unpacked_bytes)
      fail("the levels do not fit into their page");
    const auto definition =
        body.subspan(static_cast<size_t>(header.repetition_bytes), static_cast<size_t>(header.definition_bytes));
    level_bytes_.assign(definition.begin(), definition.end());
    levels_ = ParquetRuns(level_bytes_, 1);
    body = body.subspan(static_cast<size_t>(levels));
    size -= static_cast<uint64_t>(levels);
  }
  if (header.packed && chunk_->codec != kNotPacked && size > 0) {
    body = unpack(page_, body, size);
  } else {  // the next header is read into packed_
    page_.assign(body.begin(), body.end());
    body = page_;
  }
  split_levels(header, body);
  if (header.num_values < 0) fail("a page with a negative number of values");
  values_left_ = static_cast<uint64_t>(header.num_values);
  uses_words_ = header.encoding == kDictionary || header.encoding == kPlainDictionary;
  if (!uses_words_ && header.encoding != kPlain)
    throw ConfigError(cat(file_.name(), ": column '", meta_.columns[column_].name, "' has encoding ", header.encoding,
                          "; 0 (PLAIN) and 8 (RLE_DICTIONARY) are read"));
  plain_ = body;
  if (!uses_words_) return;
  const int width = body.empty() ? 0 : static_cast<int>(body[0]);
  if (width > 32) fail(cat("indices of ", width, " bits"));
  indices_ = ParquetRuns(body.subspan(std::min<size_t>(body.size(), 1)), width);
}

void ParquetColumnReader::read_page() {
  if (at_ >= end_) fail("the column ends before the rows that the footer counts");
  const Header header = read_header();
  packed_.resize(static_cast<size_t>(header.packed_bytes));
  file_.seek(at_);
  if (file_.read(packed_) != packed_.size()) fail("the file ends within a page");
  // fail() names this page, whose first byte is at_.
  const std::vector<std::byte> packed = std::move(packed_);
  packed_.clear();
  if (header.type == kDictionaryPage) read_dictionary(header, packed);
  if (header.type == kDataPage || header.type == kDataPage2) read_values(header, packed);
  at_ += static_cast<uint64_t>(header.packed_bytes);
}

std::string_view ParquetColumnReader::next() {
  while (values_left_ == 0) read_page();
  --values_left_;
  if (has_levels_) {
    uint32_t level = 0;
    if (!levels_.next(level)) fail("there are fewer levels than values");
    if (level == 0) return {};
  }
  if (!uses_words_) return plain(plain_);
  uint32_t index = 0;
  if (!indices_.next(index)) fail("there are fewer indices than values");
  if (index >= words_.size()) fail(cat("index ", index, " into a dictionary of ", words_.size()));
  return words_[index];
}

}  // namespace trireme
