// Character classes for pre-tokenizers, of the one Unicode version named in unicode_ranges.h. UTF-8 is read byte by
// byte and never fails: a byte that belongs to no well-formed sequence is a symbol of its own, of no class, as a sign
// is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// Sets of classes. A code point is in one of them at most; a sign or an unassigned code point in none.
using CharClass = uint8_t;
inline constexpr CharClass kSpace = 1;                             // White_Space, but for:
inline constexpr CharClass kLineBreak = 2;                         // CR and LF
inline constexpr CharClass kNumber = 4;                            // \p{N}
inline constexpr CharClass kUpper = 8;                             // [\p{Lu}\p{Lt}]
inline constexpr CharClass kLower = 16;                            // \p{Ll}
inline constexpr CharClass kCaseless = 32;                         // [\p{Lm}\p{Lo}]
inline constexpr CharClass kMark = 64;                             // \p{M}
inline constexpr CharClass kWhite = kSpace | kLineBreak;           // \s
inline constexpr CharClass kLetter = kUpper | kLower | kCaseless;  // \p{L}
inline constexpr CharClass kAll = kWhite | kNumber | kLetter | kMark;

/// One character, or one stray byte, of a text.
struct Symbol {
  CharClass cls;
  uint8_t length;  // in bytes
};

/// The code point at p < end and its length; a stray byte has length 1 and a code point above Unicode's.
struct CodePoint {
  static constexpr uint32_t kStray = 0x110000;
  uint32_t value;
  uint8_t length;
};
CodePoint code_point(const char* p, const char* end);

/// A byte a code point in two stages: blocks of 256 code points, equal blocks stored once.
class PointMap {
 public:
  explicit PointMap(std::span<const uint8_t> flat);  // of all 0x110000

  uint8_t of(uint32_t code_point) const { return values_[size_t{blocks_[code_point >> 8]} << 8 | (code_point & 255)]; }
  uint8_t of_ascii(uint8_t byte) const { return values_[byte]; }

 private:
  std::array<uint16_t, 0x1100> blocks_{};
  std::vector<uint8_t> values_;
};

/// Sets `bit` in the bytes of a flat table that `runs` (unicode_ranges.h) hold.
void mark_runs(std::span<uint8_t> flat, std::span<const uint32_t> runs, uint8_t bit);

class ClassTable {
 public:
  ClassTable();

  CharClass of(uint32_t code_point) const { return map_.of(code_point); }

  /// The symbol at p < end. The common lengths are decoded inline: a call a character would cost more than the rest.
  Symbol symbol(const char* p, const char* end) const {
    const auto byte = [p](int i) { return static_cast<uint8_t>(p[i]); };
    const auto follows = [&](int i) { return (byte(i) & 0xC0) == 0x80; };
    if (byte(0) < 0x80) return {ascii_[byte(0)], 1};
    if (end - p >= 3 && (byte(0) & 0xF0) == 0xE0 && follows(1) && follows(2)) {
      const uint32_t c = (byte(0) & 15U) << 12 | (byte(1) & 63U) << 6 | (byte(2) & 63U);
      return c >= 0x800 && c - 0xD800 >= 0x800 ? Symbol{of(c), 3} : Symbol{0, 1};
    }
    if (end - p >= 2 && byte(0) >= 0xC2 && byte(0) < 0xE0 && follows(1)) {
      return {of((byte(0) & 31U) << 6 | (byte(1) & 63U)), 2};
    }
    return rare_symbol(p, end);
  }

  /// The end of the run of symbols within the set `wanted` that starts at p <= end.
  const char* skip(CharClass wanted, const char* p, const char* end) const {
    for (;;) {
      while (p < end && (ascii_[static_cast<uint8_t>(*p)] & wanted) != 0) ++p;
      if (p == end || static_cast<uint8_t>(*p) < 0x80) return p;
      const Symbol s = symbol(p, end);
      if ((s.cls & wanted) == 0) return p;
      p += s.length;
    }
  }
  /// The end of the run of symbols outside the set `unwanted` that starts at p <= end.
  const char* skip_others(CharClass unwanted, const char* p, const char* end) const {
    while (p < end) {
      const Symbol s = symbol(p, end);
      if ((s.cls & unwanted) != 0) break;
      p += s.length;
    }
    return p;
  }

 private:
  Symbol rare_symbol(const char* p, const char* end) const;

  PointMap map_;
  std::array<CharClass, 256> ascii_{};  // 0 from 128 on
};

/// The table, built at the first call.
const ClassTable& class_table();

/// \p{P} of the same version, and \w as Hugging Face's Whitespace has it.
bool is_punctuation(uint32_t code_point);
bool is_word(uint32_t code_point);

}  // namespace trireme
