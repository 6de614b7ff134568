#include "tokenizer/rewrite_characters.h"

#include <algorithm>
#include <cstdint>

#include "tokenizer/scripts.h"
#include "tokenizer/unicode.h"

namespace trireme {
namespace {

enum class Fate { keep, drop, blank, surround };

template <class F>
std::string rewrite(std::string_view text, F fate_of) {
  std::string out;
  out.reserve(text.size());
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const CodePoint c = code_point(p, end);
    const Fate fate = c.value == CodePoint::kStray ? Fate::keep : fate_of(c.value);
    if (fate == Fate::blank || fate == Fate::surround) out += ' ';
    if (fate == Fate::keep || fate == Fate::surround) out.append(p, c.length);
    if (fate == Fate::surround) out += ' ';
    p += c.length;
  }
  return out;
}

struct Range {
  uint32_t first, last;
};

template <size_t N>
bool within(const Range (&ranges)[N], uint32_t c) {
  return std::any_of(ranges, ranges + N, [c](Range range) { return c >= range.first && c <= range.last; });
}

bool is_ideograph(uint32_t c) {
  constexpr Range kIdeographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F},
                                   {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF}, {0x2F800, 0x2FA1F}};
  return within(kIdeographs, c);
}

Fate nmt_fate(uint32_t c) {
  constexpr Range kDropped[] = {{0x01, 0x08}, {0x0B, 0x0B}, {0x0E, 0x1F}, {0x7F, 0x7F}, {0x8F, 0x8F}, {0x9F, 0x9F}};
  constexpr Range kBlank[] = {{0x09, 0x0A},     {0x0C, 0x0D},     {0x1680, 0x1680}, {0x200B, 0x200F},
                              {0x2028, 0x2029}, {0x2581, 0x2581}, {0xFEFF, 0xFEFF}, {0xFFFD, 0xFFFD}};
  if (within(kDropped, c)) return Fate::drop;
  return within(kBlank, c) ? Fate::blank : Fate::keep;
}

}  // namespace

std::string bert_clean(std::string_view text) {
  return rewrite(text, [](uint32_t c) {
    if (is_bert_control(c)) return Fate::drop;
    return (class_table().of(c) & kWhite) != 0 ? Fate::blank : Fate::keep;
  });
}

std::string space_ideographs(std::string_view text) {
  return rewrite(text, [](uint32_t c) { return is_ideograph(c) ? Fate::surround : Fate::keep; });
}

std::string bert_strip_accents(std::string_view text) {
  return rewrite(text, [](uint32_t c) { return is_bert_accent(c) ? Fate::drop : Fate::keep; });
}

std::string nmt_clean(std::string_view text) { return rewrite(text, nmt_fate); }

}  // namespace trireme
