#include "tokenizer/unicode.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "base/strings.h"
#include "tokenizer/unicode_ranges.h"

namespace trireme {
namespace {

constexpr size_t kPoints = 0x110000;

// Unicode's White_Space property, whole and stable since version 6.3. Not U+180E, not U+001C to U+001F.
constexpr uint32_t kSpaces[] = {0x09,   0x0B,   0x0C,   0x20,   0x85,   0xA0,   0x1680, 0x2000,
                                0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};

constexpr uint8_t kPunctuationBit = 1, kWordBit = 2;

std::vector<uint8_t> flat_classes() {
  std::vector<uint8_t> flat(kPoints);
  mark_runs(flat, kUpperRuns, kUpper);
  mark_runs(flat, kLowerRuns, kLower);
  mark_runs(flat, kCaselessRuns, kCaseless);
  mark_runs(flat, kNumberRuns, kNumber);
  mark_runs(flat, kMarkRuns, kMark);
  for (const uint32_t c : kSpaces) flat[c] = kSpace;
  flat['\r'] = flat['\n'] = kLineBreak;
  return flat;
}

const PointMap& rare_sets() {
  static const PointMap map = [] {
    std::vector<uint8_t> flat(kPoints);
    mark_runs(flat, kPunctuationRuns, kPunctuationBit);
    mark_runs(flat, kWordRuns, kWordBit);
    return PointMap(flat);
  }();
  return map;
}

}  // namespace

CodePoint code_point(const char* p, const char* end) {
  if (static_cast<uint8_t>(*p) < 0x80) return {static_cast<uint8_t>(*p), 1};
  const std::string_view rest(p, static_cast<size_t>(std::min<std::ptrdiff_t>(end - p, 4)));
  const int length = utf8_length(rest, 0);
  if (length == 0) return {CodePoint::kStray, 1};
  return {utf8_decode(rest, 0), static_cast<uint8_t>(length)};
}

PointMap::PointMap(std::span<const uint8_t> flat) {
  std::map<std::string_view, uint16_t> known;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const uint8_t* begin = flat.data() + i * 256;
    const std::string_view block(reinterpret_cast<const char*>(begin), 256);
    const auto [found, fresh] = known.emplace(block, static_cast<uint16_t>(known.size()));
    if (fresh) values_.insert(values_.end(), begin, begin + 256);
    blocks_[i] = found->second;
  }
}

void mark_runs(std::span<uint8_t> flat, std::span<const uint32_t> runs, uint8_t bit) {
  size_t at = 0;
  for (size_t i = 0; i + 1 < runs.size(); i += 2) {
    at += runs[i];
    for (const size_t end = at + runs[i + 1]; at < end; ++at) flat[at] |= bit;
  }
}

ClassTable::ClassTable() : map_(flat_classes()) {
  for (uint8_t byte = 0; byte < 0x80; ++byte) ascii_[byte] = map_.of(byte);
}

Symbol ClassTable::rare_symbol(const char* p, const char* end) const {
  const CodePoint c = code_point(p, end);
  return {c.value == CodePoint::kStray ? CharClass{0} : of(c.value), c.length};
}

const ClassTable& class_table() {
  static const ClassTable table;
  return table;
}

bool is_punctuation(uint32_t code_point) {
  return code_point < kPoints && (rare_sets().of(code_point) & kPunctuationBit) != 0;
}

bool is_word(uint32_t code_point) { return code_point < kPoints && (rare_sets().of(code_point) & kWordBit) != 0; }

}  // namespace trireme
