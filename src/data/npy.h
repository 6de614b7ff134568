// Arrays of one dimension in numpy's .npy files (numpy.lib.format, versions 1 to 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace trireme {

struct NpyArray {
  char kind = 'i';  // 'i' or 'u'
  int64_t width = 0, size = 0;
  int64_t offset = 0;  // of the first element in the file
  std::span<const std::byte> data;
};

/// IoError naming `file` and the byte where it is cut short, damaged, or holds anything but one row of little-endian
/// integers.
NpyArray read_npy(std::span<const std::byte> bytes, const std::string& file);

}  // namespace trireme
