// Character classes for pre-tokenizers: letter (\p{L}), number (\p{N}), white space (White_Space), other,
// of the one Unicode version named in unicode_ranges.h. UTF-8 is read byte by byte and never fails: a byte
// that belongs to no well-formed sequence is a symbol of its own, of class `other`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace trireme {

enum class CharClass : uint8_t { other, space, letter, number };

/// One character, or one stray byte, of a text.
struct Symbol {
  CharClass cls;
  uint8_t length;  // in bytes
};

/// Class by code point in two stages: blocks of 256 code points, equal blocks stored once.
class ClassTable {
 public:
  ClassTable();

  CharClass of(uint32_t code_point) const {
    return classes_[size_t{blocks_[code_point >> 8]} << 8 | (code_point & 255)];
  }

  /// The symbol at p < end. The common lengths are decoded inline: base's utf8_decode costs a call a character.
  Symbol symbol(const char* p, const char* end) const {
    const auto byte = [p](int i) { return static_cast<uint8_t>(p[i]); };
    const auto follows = [&](int i) { return (byte(i) & 0xC0) == 0x80; };
    if (byte(0) < 0x80) return {classes_[byte(0)], 1};
    if (end - p >= 3 && (byte(0) & 0xF0) == 0xE0 && follows(1) && follows(2)) {
      const uint32_t c = (byte(0) & 15U) << 12 | (byte(1) & 63U) << 6 | (byte(2) & 63U);
      return c >= 0x800 && c - 0xD800 >= 0x800 ? Symbol{of(c), 3} : Symbol{CharClass::other, 1};
    }
    if (end - p >= 2 && byte(0) >= 0xC2 && byte(0) < 0xE0 && follows(1)) {
      return {of((byte(0) & 31U) << 6 | (byte(1) & 63U)), 2};
    }
    return rare_symbol(p, end);
  }

  /// The end of the run of symbols of class `cls` that starts at p <= end.
  const char* skip(CharClass cls, const char* p, const char* end) const {
    while (p < end) {
      const Symbol s = symbol(p, end);
      if (s.cls != cls) break;
      p += s.length;
    }
    return p;
  }

 private:
  Symbol rare_symbol(const char* p, const char* end) const;

  std::array<uint16_t, 0x1100> blocks_{};
  std::vector<CharClass> classes_;
};

/// The table, built at the first call.
const ClassTable& class_table();

}  // namespace trireme
