#include "tokenizer/utf8_cut.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace trireme {
namespace {

/// Whether `bytes` are a proper beginning of some UTF-8 character. Only the second byte is bound by the
/// first, and always to a range that contains the lowest or the highest continuation byte.
bool begins_character(std::string_view bytes) {
  if (utf8_length(bytes, 0) != 0) return false;
  for (const char fill : {'\x80', '\xBF'}) {
    std::string filled(bytes);
    filled.resize(4, fill);
    if (utf8_length(filled, 0) > static_cast<int>(bytes.size())) return true;
  }
  return false;
}

}  // namespace

size_t cut_length(std::string_view text) {
  for (size_t n = std::min<size_t>(3, text.size()); n > 0; --n) {
    if (begins_character(text.substr(text.size() - n))) return n;
  }
  return 0;
}

}  // namespace trireme
