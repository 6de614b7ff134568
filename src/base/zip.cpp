#include "base/zip.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/unpacking_stream.h"

namespace trireme {
namespace {

constexpr uint64_t kEndBytes = 22, kLongestComment = 65535, kLocatorBytes = 20, kEnd64Bytes = 56, kEntryBytes = 46,
                   kLocalBytes = 30, kLargestRatio = 1032;

/// A file whose every access is checked.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  [[noreturn]] void fail(uint64_t offset, const std::string& detail) const {
    throw IoError(cat(file_, ": byte ", offset, ": ", detail, "; copy the file again"));
  }
  uint64_t size() const { return bytes_.size(); }
  std::span<const std::byte> part(uint64_t offset, uint64_t size, const char* what) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset)
      fail(std::min<uint64_t>(offset, bytes_.size()), cat("the ZIP file ends within ", what));
    return bytes_.subspan(offset, size);
  }
  template <class T>
  T load(uint64_t offset, const char* what) const {
    T value;
    std::memcpy(&value, part(offset, sizeof(T), what).data(), sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
};

struct Directory {
  uint64_t offset = 0, entries = 0;
};

Directory find_directory(const Reader& zip) {
  const uint64_t size = zip.size(), last = size < kEndBytes ? 0 : size - kEndBytes;
  const uint64_t first = last > kLongestComment ? last - kLongestComment : 0;
  for (uint64_t at = last + 1; size >= kEndBytes && at-- > first;) {
    if (zip.load<uint32_t>(at, "its end") != 0x06054B50) continue;
    Directory directory{zip.load<uint32_t>(at + 16, "its end"), zip.load<uint16_t>(at + 10, "its end")};
    if (at >= kLocatorBytes && zip.load<uint32_t>(at - kLocatorBytes, "its end") == 0x07064B50) {
      const auto end64 = zip.load<uint64_t>(at - kLocatorBytes + 8, "its end");
      zip.part(end64, kEnd64Bytes, "its ZIP64 end");
      directory = {zip.load<uint64_t>(end64 + 48, "its ZIP64 end"), zip.load<uint64_t>(end64 + 32, "its ZIP64 end")};
    }
    return directory;
  }
  zip.fail(size, "expected a ZIP file with a directory at its end; it may be cut short");
}

/// Replaces those of size, packed size and offset that are too large for the entry by those of its ZIP64 field.
void widen(const Reader& zip, uint64_t extra, uint64_t extra_bytes, std::span<uint64_t* const> values) {
  constexpr uint64_t kWide = std::numeric_limits<uint32_t>::max();
  for (uint64_t at = extra; at + 4 <= extra + extra_bytes;) {
    const auto id = zip.load<uint16_t>(at, "its directory"), bytes = zip.load<uint16_t>(at + 2, "its directory");
    uint64_t field = at + 4;
    at = field + bytes;
    if (id != 1) continue;
    for (uint64_t* value : values) {
      if (*value != kWide || field + 8 > at) continue;
      *value = zip.load<uint64_t>(field, "its directory");
      field += 8;
    }
  }
}

}  // namespace

std::vector<ZipMember> read_zip(std::span<const std::byte> bytes, const std::string& file) {
  constexpr const char* kWhere = "its directory";
  const Reader zip(bytes, file);
  const Directory directory = find_directory(zip);
  std::vector<ZipMember> members;
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    zip.part(at, kEntryBytes, kWhere);
    if (zip.load<uint32_t>(at, kWhere) != 0x02014B50) zip.fail(at, "expected an entry of the ZIP directory");
    ZipMember member;
    const auto method = zip.load<uint16_t>(at + 10, kWhere);
    member.crc = zip.load<uint32_t>(at + 16, kWhere);
    uint64_t packed = zip.load<uint32_t>(at + 20, kWhere), size = zip.load<uint32_t>(at + 24, kWhere);
    const uint64_t name_bytes = zip.load<uint16_t>(at + 28, kWhere), extra_bytes = zip.load<uint16_t>(at + 30, kWhere);
    const uint64_t comment_bytes = zip.load<uint16_t>(at + 32, kWhere);
    uint64_t offset = zip.load<uint32_t>(at + 42, kWhere);
    const auto name = zip.part(at + kEntryBytes, name_bytes, kWhere);
    member.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    uint64_t* const values[] = {&size, &packed, &offset};
    widen(zip, at + kEntryBytes + name_bytes, extra_bytes, values);

    if (method != 0 && method != 8)
      zip.fail(at + 10, cat(member.name, " is packed by method ", method, "; 0 (stored) and 8 (deflate) are read"));
    member.deflated = method == 8;
    zip.part(offset, kLocalBytes, "a member");
    if (zip.load<uint32_t>(offset, "a member") != 0x04034B50)
      zip.fail(offset, cat("expected the member ", member.name));
    const uint64_t begin = offset + kLocalBytes + zip.load<uint16_t>(offset + 26, "a member") +
                           zip.load<uint16_t>(offset + 28, "a member");
    member.packed = zip.part(begin, packed, "a member");
    if (member.deflated ? size / kLargestRatio > packed : size != packed)
      zip.fail(at + 24, cat(member.name, " cannot unpack from ", packed, " to ", size, " bytes"));
    member.size = size;
    members.push_back(std::move(member));
    at += kEntryBytes + name_bytes + extra_bytes + comment_bytes;
  }
  return members;
}

std::span<const std::byte> ZipMember::bytes(std::vector<std::byte>& memory, const std::string& file) const {
  std::span<const std::byte> found = packed;
  if (deflated) {
    memory.resize(size);
    if (!inflate_block(memory, packed)) throw IoError(cat(file, ": ", name, ": no deflate data; copy the file again"));
    found = memory;
  }
  if (crc32_of(found) != crc) throw IoError(cat(file, ": ", name, ": wrong checksum; copy the file again"));
  return found;
}

}  // namespace trireme
