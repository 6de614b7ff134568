#include "data/npy.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

[[noreturn]] void fail(const std::string& file, size_t offset, const std::string& detail) {
  throw IoError(cat(file, ": byte ", offset, ": ", detail, "; save or copy the array again"));
}

/// What stands behind 'key': in the dictionary of the header, up to the next comma outside of parentheses.
std::string_view value_of(std::string_view header, std::string_view key) {
  const size_t found = header.find(cat("'", key, "'"));
  if (found == std::string_view::npos) return {};
  std::string_view rest = header.substr(found + key.size() + 2);
  rest = trim(rest.substr(std::min(rest.size(), rest.find(':') + 1)));
  const size_t end = starts_with(rest, "(") ? rest.find(')') + 1 : rest.find_first_of(",}");
  return trim(rest.substr(0, end));
}

}  // namespace

NpyArray read_npy(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, 6) != "\x93NUMPY") fail(file, 0, "expected \\x93NUMPY, found another kind of file");
  if (text.size() < 12) fail(file, text.size(), "the file ends within its header");
  const int version = text[6];
  if (version < 1 || version > 3) fail(file, 6, cat("expected version 1, 2 or 3, found ", version));
  uint32_t length = 0;
  std::memcpy(&length, text.data() + 8, version == 1 ? 2 : 4);
  const size_t begin = version == 1 ? 10 : 12;
  if (length > text.size() - begin) fail(file, 8, cat("a header of ", length, " bytes does not fit into the file"));
  const std::string_view header = text.substr(begin, length);

  NpyArray array;
  const std::string_view type = value_of(header, "descr"), shape = value_of(header, "shape");
  const bool known = type.size() == 5 && (type[1] == '<' || type[1] == '|') && (type[2] == 'i' || type[2] == 'u') &&
                     std::string_view("1248").find(type[3]) != std::string_view::npos;
  if (!known) fail(file, begin, cat("expected little-endian integers of 1 to 8 bytes, found descr ", type));
  array.kind = type[2];
  array.width = type[3] - '0';
  std::string_view count = trim(shape.substr(0, shape.rfind(')')));
  if (starts_with(count, "(")) count = trim(count.substr(1));
  if (ends_with(count, ",")) count = trim(count.substr(0, count.size() - 1));
  if (!parse_integer(count, array.size) || array.size < 0)
    fail(file, begin, cat("expected an array of one dimension, found shape ", shape));
  array.offset = static_cast<int64_t>(begin + length);
  const size_t room = text.size() - begin - length;
  if (static_cast<uint64_t>(array.size) > room / static_cast<uint64_t>(array.width) ||
      static_cast<size_t>(array.size * array.width) != room)
    fail(file, begin + length,
         cat(array.size, " integers of ", array.width, " bytes are expected, the file has ", room, " bytes left"));
  array.data = bytes.subspan(begin + length);
  return array;
}

}  // namespace trireme
