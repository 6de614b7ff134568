#include "tokenizer/unicode.h"

#include <algorithm>
#include <map>
#include <span>
#include <string_view>

#include "base/strings.h"
#include "tokenizer/unicode_ranges.h"

namespace trireme {
namespace {

// Unicode's White_Space property, whole and stable since version 6.3. Not U+180E, not U+001C to U+001F.
constexpr uint32_t kSpaces[] = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x20,   0x85,   0xA0,   0x1680,
                                0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};

void fill(std::vector<CharClass>& flat, std::span<const uint32_t> runs, CharClass cls) {
  size_t at = 0;
  for (size_t i = 0; i + 1 < runs.size(); i += 2) {
    at += runs[i];
    std::fill_n(flat.begin() + static_cast<std::ptrdiff_t>(at), runs[i + 1], cls);
    at += runs[i + 1];
  }
}

}  // namespace

ClassTable::ClassTable() {
  std::vector<CharClass> flat(0x110000, CharClass::other);
  fill(flat, kLetterRuns, CharClass::letter);
  fill(flat, kNumberRuns, CharClass::number);
  for (const uint32_t c : kSpaces) flat[c] = CharClass::space;

  std::map<std::string_view, uint16_t> known;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const CharClass* begin = flat.data() + i * 256;
    const std::string_view block(reinterpret_cast<const char*>(begin), 256);
    const auto [found, fresh] = known.emplace(block, static_cast<uint16_t>(known.size()));
    if (fresh) classes_.insert(classes_.end(), begin, begin + 256);
    blocks_[i] = found->second;
  }
}

Symbol ClassTable::rare_symbol(const char* p, const char* end) const {
  const std::string_view rest(p, static_cast<size_t>(end - p));
  const int length = utf8_length(rest, 0);
  if (length == 0) return {CharClass::other, 1};
  return {of(utf8_decode(rest, 0)), static_cast<uint8_t>(length)};
}

const ClassTable& class_table() {
  static const ClassTable table;
  return table;
}

}  // namespace trireme
