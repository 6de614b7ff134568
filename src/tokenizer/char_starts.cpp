#include "tokenizer/char_starts.h"

#include <algorithm>
#include <string>

#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kWorthwhile = 64;  // merges, from which on the table is made

constexpr bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }
constexpr bool leads(char byte) { return static_cast<uint8_t>(byte) >= 0xC0; }
constexpr uint64_t bit_of(char byte) { return uint64_t{1} << (static_cast<uint8_t>(byte) & 63); }

bool is_one_character(std::string_view token) {
  return !token.empty() && static_cast<size_t>(utf8_length(token, 0)) == token.size();
}

}  // namespace

CharStarts::CharStarts(const TokenizerSpec& spec, const MergeAlone& merge_alone) {
  if (spec.merges.size() < kWorthwhile) return;
  entries_.resize(kPoints);
  std::vector<int32_t> ids;
  for (uint32_t point = 0; point < kPoints; ++point) {
    if (point >= 0xD800 && point < 0xE000) continue;
    std::string bytes;
    utf8_append(bytes, point);
    ids.clear();
    merge_alone(ids, bytes);
    Entry& entry = entries_[point];
    entry.count = static_cast<uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids);
  }
  for (const Merge& merge : spec.merges) guard(spec.tokens[static_cast<size_t>(merge.product)]);
  block_late(spec);
}

/// Blocks the characters that may be a part of a merge before all merges within them are done.
void CharStarts::block_late(const TokenizerSpec& spec) {
  const auto of = [](std::vector<size_t>& values, int32_t token) -> size_t& {
    return values[static_cast<size_t>(token)];
  };
  std::vector<size_t> made(spec.tokens.size(), 0),
      within(spec.tokens.size(), 0);  // last rank + 1; and of its parts too
  for (size_t m = 0; m < spec.merges.size(); ++m) {
    size_t& last = of(made, spec.merges[m].product);
    last = std::max(last, m + 1);
  }
  for (const Merge& merge : spec.merges) {
    size_t& last = of(within, merge.product);
    last = std::max({last, of(made, merge.product), of(made, merge.left), of(made, merge.right)});
  }
  for (size_t m = 0; m < spec.merges.size(); ++m) {
    for (const int32_t part : {spec.merges[m].left, spec.merges[m].right}) {
      const std::string& token = spec.tokens[static_cast<size_t>(part)];
      if (of(within, part) <= m || !is_one_character(token)) continue;
      if (const uint32_t point = utf8_decode(token, 0); point < kPoints) entries_[point].blocked = true;
    }
  }
}

/// Notes where `token`, if it begins or ends within a character and holds more than that, joins it to its neighbour.
void CharStarts::guard(std::string_view token) {
  size_t begin = 0;
  while (begin < token.size() && continues(token[begin])) ++begin;
  size_t first_end = begin, end = begin, last = begin;  // the first whole character's, the last one's end and begin
  for (int length; end < token.size() && (length = utf8_length(token, end)) != 0;) {
    last = end;
    end += static_cast<size_t>(length);
    if (first_end == begin) first_end = end;
  }
  const auto guard_of = [&](size_t from) -> Guard& {
    const uint32_t point = utf8_decode(token, from);
    if (point < kPoints) entries_[point].guarded = true;
    return guards_[point];
  };
  const bool whole = end > begin, head = begin > 0, tail = end < token.size();
  if (whole && head) guard_of(begin).before |= bit_of(token[begin - 1]);
  if (whole && tail) guard_of(last).behind |= bit_of(token[end]);
  if (!whole && head && tail) pairs_[static_cast<uint8_t>(token[begin - 1]) & 63] |= bit_of(token[begin]);
}

size_t CharStarts::symbols(int32_t* ids, std::string_view piece) const {
  if (entries_.empty()) return 0;
  size_t n = 0;
  uint64_t behind = 0;  // of the character before
  const char *p = piece.data(), *end = p + piece.size();
  for (const char* begin = p; p < end;) {
    const CodePoint c = code_point(p, end);
    if (c.value >= kPoints) return 0;
    const Entry& entry = entries_[c.value];
    if (entry.blocked) return 0;
    const Guard guard = entry.guarded ? guards_.find(c.value)->second : Guard{};
    if (p > begin) {
      const char before = p[-1];
      if (leads(*p) && (behind & bit_of(*p)) != 0) return 0;
      if (continues(before) && (guard.before & bit_of(before)) != 0) return 0;
      if (continues(before) && leads(*p) && (pairs_[static_cast<uint8_t>(before) & 63] & bit_of(*p)) != 0) return 0;
    }
    behind = guard.behind;
    for (int i = 0; i < entry.count; ++i) ids[n + static_cast<size_t>(i)] = entry.ids[i];
    n += entry.count;
    p += c.length;
  }
  return n;
}

}  // namespace trireme
