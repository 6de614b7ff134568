#include "data/pickle.h"

#include "base/error.h"
#include "base/strings.h"

namespace trireme {

void PickledIntegers::fail(const std::string& detail) const {
  throw IoError(cat(cursor_.name(), ": byte ", cursor_.position(), ": ", detail));
}

uint64_t PickledIntegers::take(size_t bytes) {
  const std::string_view text = cursor_.rest(bytes);
  if (text.size() < bytes) fail("the pickled list is cut short");
  uint64_t value = 0;
  for (size_t i = 0; i < bytes && i < 8; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  cursor_.skip(bytes);
  return value;
}

int64_t PickledIntegers::take_line() {
  std::string_view line = cursor_.take_line();
  if (ends_with(line, "L")) line.remove_suffix(1);
  int64_t value = 0;
  if (!parse_integer(line, value)) fail("expected an integer of at most 64 bits");
  return value;
}

std::optional<int64_t> PickledIntegers::next() {
  for (;;) {
    cursor_.release();
    const auto opcode = static_cast<unsigned char>(take(1));
    switch (opcode) {
      case '.': return std::nullopt;  // STOP
      case 'K': return static_cast<int64_t>(take(1));
      case 'M': return static_cast<int64_t>(take(2));
      case 'J': return static_cast<int32_t>(take(4));
      case 'I':
      case 'L': return take_line();
      case 0x8A: {  // LONG1
        const auto bytes = static_cast<size_t>(take(1));
        if (bytes > 8) fail("expected an integer of at most 64 bits");
        const uint64_t value = take(bytes);
        const int unused = 64 - 8 * static_cast<int>(bytes);
        return bytes == 0 ? 0 : static_cast<int64_t>(value << unused) >> unused;
      }
      case 0x80: take(1); break;  // PROTO
      case 0x95: take(8); break;  // FRAME
      case 'q': take(1); break;   // BINPUT
      case 'r': take(4); break;   // LONG_BINPUT
      case 'p': take_line(); break;
      case '(':   // MARK
      case ']':   // EMPTY_LIST
      case 'l':   // LIST
      case 'a':   // APPEND
      case 'e':   // APPENDS
      case 0x94:  // MEMOIZE
        break;
      default: fail(cat("opcode ", +opcode, " of pickle does not belong to a list of integers"));
    }
  }
}

}  // namespace trireme
