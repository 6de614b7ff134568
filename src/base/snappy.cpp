#include "base/snappy.h"

#include <cstdint>
#include <cstring>

namespace trireme {
namespace {

/// Little-endian number of `bytes` bytes at `at`, which it passes; false where they are not there.
bool take(uint32_t& value, std::span<const std::byte> packed, size_t& at, size_t bytes) {
  if (bytes > packed.size() - at) return false;
  value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint32_t>(packed[at + i]) << (8 * i);
  at += bytes;
  return true;
}

}  // namespace

bool unsnappy_block(std::span<std::byte> out, std::span<const std::byte> packed) {
  size_t at = 0, done = 0;
  uint64_t size = 0;
  for (uint32_t byte = 0x80, shift = 0; byte >= 0x80; shift += 7) {
    if (shift > 28 || !take(byte, packed, at, 1)) return false;
    size |= static_cast<uint64_t>(byte & 0x7F) << shift;
  }
  if (size != out.size()) return false;
  while (at < packed.size()) {
    uint32_t tag = 0, offset = 0;
    take(tag, packed, at, 1);
    size_t length = (tag >> 2) + 1;
    if ((tag & 3) == 0) {  // bytes as they are; from 61 on the length stands behind the tag
      if (length > 60) {
        uint32_t wide = 0;
        if (!take(wide, packed, at, length - 60)) return false;
        length = size_t{wide} + 1;
      }
      if (length > packed.size() - at || length > out.size() - done) return false;
      std::memcpy(out.data() + done, packed.data() + at, length);
      at += length;
      done += length;
      continue;
    }
    if ((tag & 3) == 1) {
      length = ((tag >> 2) & 7) + 4;
      if (!take(offset, packed, at, 1)) return false;
      offset |= (tag >> 5) << 8;
    } else if (!take(offset, packed, at, (tag & 3) == 2 ? 2 : 4)) {
      return false;
    }
    if (offset == 0 || offset > done || length > out.size() - done) return false;
    for (size_t i = 0; i < length; ++i) out[done + i] = out[done + i - offset];  // may overlap: a run
    done += length;
  }
  return done == out.size();
}

}  // namespace trireme
