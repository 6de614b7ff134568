#include "tokenizer/normalize.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/strings.h"
#include "tokenizer/decompositions.h"
#include "tokenizer/decompositions_compat.h"
#include "tokenizer/unicode.h"

namespace trireme {
namespace {

constexpr uint32_t kPoints = 0x110000;
constexpr NormalForm kForms[] = {NormalForm::nfd, NormalForm::nfc, NormalForm::nfkd, NormalForm::nfkc};
constexpr bool composes(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }
constexpr bool compatible(NormalForm form) { return form == NormalForm::nfkd || form == NormalForm::nfkc; }

// Hangul syllables are computed (The Unicode Standard, section 3.12).
constexpr uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr uint32_t kLCount = 19, kVCount = 21, kTCount = 28, kSCount = kLCount * kVCount * kTCount;
constexpr bool is_syllable(uint32_t c) { return c - kSBase < kSCount; }

struct Mark {
  uint32_t point;
  uint8_t combining;
};

class NormalTable {
 public:
  explicit NormalTable(NormalData data)
      : known_(flat_known(data)), combining_(flat_combining(known_)), unsafe_(std::vector<uint8_t>(kPoints)) {
    read(kCanonical, canonical_);
    read(kCompatible, compatible_);
    for (const auto& [point, parts] : canonical_) {
      if (parts.size() == 2 && !std::binary_search(std::begin(kNotComposed), std::end(kNotComposed), point)) {
        composed_.emplace(pair_key(parts[0], parts[1]), point);
      }
    }
    unsafe_ = PointMap(flat_unsafe());
    read_lower();
  }

  bool known(uint32_t point) const { return known_.of(point) != 0; }
  bool unsafe(uint32_t point, NormalForm form) const { return (unsafe_.of(point) >> static_cast<int>(form) & 1) != 0; }
  uint8_t combining(uint32_t point) const { return combining_.of(point); }

  void decompose(std::vector<Mark>& out, uint32_t point, bool compatible) const {
    if (is_syllable(point)) {
      const uint32_t s = point - kSBase, t = s % kTCount;
      out.push_back({kLBase + s / (kVCount * kTCount), 0});
      out.push_back({kVBase + s / kTCount % kVCount, 0});
      if (t != 0) out.push_back({kTBase + t, 0});
      return;
    }
    const std::span<const uint32_t> parts = parts_of(point, compatible);
    if (parts.empty()) out.push_back({point, combining(point)});
    for (const uint32_t part : parts) decompose(out, part, compatible);
  }

  /// What the two become, or 0.
  uint32_t compose(uint32_t a, uint32_t b) const {
    if (a - kLBase < kLCount && b - kVBase < kVCount) {
      return kSBase + ((a - kLBase) * kVCount + (b - kVBase)) * kTCount;
    }
    if (is_syllable(a) && (a - kSBase) % kTCount == 0 && b > kTBase && b < kTBase + kTCount) return a + (b - kTBase);
    const auto found = composed_.find(pair_key(a, b));
    return found == composed_.end() ? 0 : found->second;
  }

  uint32_t lower(uint32_t point) const {
    const auto found = lower_.find(point);
    return found == lower_.end() ? point : found->second;
  }

 private:
  using Parts = std::unordered_map<uint32_t, std::span<const uint32_t>>;

  static uint64_t pair_key(uint32_t a, uint32_t b) { return uint64_t{a} << 32 | b; }

  void read(std::span<const uint32_t> table, Parts& parts) const {
    uint32_t point = 0;
    for (size_t i = 0; i < table.size(); i += 2 + table[i + 1]) {
      point += table[i];
      if (known(point)) parts.emplace(point, table.subspan(i + 2, table[i + 1]));
    }
  }

  static std::vector<uint8_t> flat_known(NormalData data) {
    std::vector<uint8_t> later(kPoints);
    if (data == NormalData::unicode9) mark_runs(later, kLaterRuns, 1);
    for (uint8_t& byte : later) byte ^= 1;
    return later;
  }

  static std::vector<uint8_t> flat_combining(const PointMap& known) {
    std::vector<uint8_t> flat(kPoints);
    uint32_t at = 0;
    for (size_t i = 0; i < std::size(kCombining); i += 3) {
      at += kCombining[i];
      for (const uint32_t end = at + kCombining[i + 1]; at < end; ++at) {
        flat[at] = known.of(at) != 0 ? static_cast<uint8_t>(kCombining[i + 2]) : 0;
      }
    }
    return flat;
  }

  std::span<const uint32_t> parts_of(uint32_t point, bool compatible) const {
    if (const auto found = canonical_.find(point); found != canonical_.end()) return found->second;
    if (!compatible) return {};
    const auto found = compatible_.find(point);
    return found == compatible_.end() ? std::span<const uint32_t>() : found->second;
  }

  std::vector<uint8_t> flat_unsafe() const {
    std::vector<uint8_t> flat(kPoints);
    const auto mark = [&](uint32_t point, NormalForm form) {
      flat[point] = static_cast<uint8_t>(flat[point] | 1 << static_cast<int>(form));
    };
    for (const NormalForm form : kForms) {
      for (uint32_t c = 0; c < kPoints; ++c) {
        if (combining(c) != 0 || (is_syllable(c) && !composes(form))) mark(c, form);
      }
      for (const auto& [point, parts] : canonical_) {
        const bool kept = composes(form) && parts.size() == 2 && compose(parts[0], parts[1]) == point;
        if (!kept) mark(point, form);
      }
      if (compatible(form)) {
        for (const auto& entry : compatible_) mark(entry.first, form);
        // A letter that is composed canonically may have a part that only this form takes apart.
        for (const auto& [point, parts] : canonical_) {
          if (std::any_of(parts.begin(), parts.end(), [&](uint32_t part) { return compatible_.contains(part); })) {
            mark(point, form);
          }
        }
      }
      if (!composes(form)) continue;
      for (const auto& entry : composed_) mark(static_cast<uint32_t>(entry.first & 0xFFFFFFFF), form);
      for (uint32_t v = kVBase; v < kVBase + kVCount; ++v) mark(v, form);
      for (uint32_t t = kTBase + 1; t < kTBase + kTCount; ++t) mark(t, form);
    }
    return flat;
  }

  void read_lower() {
    int32_t at = 0;
    for (size_t i = 0; i < std::size(kSmallLetters); i += 4) {
      at += kSmallLetters[i];
      const int32_t step = kSmallLetters[i + 2];
      for (int32_t n = 0; n < kSmallLetters[i + 1]; ++n) {
        const int32_t point = at + n * step;
        lower_.emplace(static_cast<uint32_t>(point), static_cast<uint32_t>(point + kSmallLetters[i + 3]));
      }
      at += (kSmallLetters[i + 1] - 1) * step + 1;
    }
  }

  PointMap known_, combining_, unsafe_;
  Parts canonical_, compatible_;
  std::unordered_map<uint64_t, uint32_t> composed_;
  std::unordered_map<uint32_t, uint32_t> lower_;
};

const NormalTable& table(NormalData data) {
  static const NormalTable current(NormalData::current);
  if (data == NormalData::current) return current;
  static const NormalTable unicode9(NormalData::unicode9);
  return unicode9;
}

/// The first byte at p or behind that is not ASCII, or `end`.
const char* skip_ascii(const char* p, const char* end) {
  for (uint64_t word; end - p >= 8; p += 8) {
    std::memcpy(&word, p, 8);
    if ((word & 0x8080808080808080) != 0) break;
  }
  while (p < end && static_cast<uint8_t>(*p) < 0x80) ++p;
  return p;
}

/// The first character at p or behind that `form` may change or combine, or `end`.
const char* find_unsafe(const NormalTable& t, const char* p, const char* end, NormalForm form) {
  while ((p = skip_ascii(p, end)) < end) {
    const CodePoint c = code_point(p, end);
    if (c.value != CodePoint::kStray && t.unsafe(c.value, form)) break;
    p += c.length;
  }
  return p;
}

/// The begin of the character that ends at `at`, with which the next may combine; `at` where it is no character.
const char* character_before(const char* begin, const char* at) {
  const char* p = at;
  while (p > begin && at - p < 4) {
    if ((static_cast<uint8_t>(*--p) & 0xC0) == 0x80) continue;
    const CodePoint c = code_point(p, at);
    return c.value != CodePoint::kStray && p + c.length == at ? p : at;
  }
  return at;
}

/// Puts marks in their order, and for a composing form what combines together.
void arrange(const NormalTable& t, std::vector<Mark>& marks, NormalForm form) {
  for (auto begin = marks.begin(); begin != marks.end();) {
    begin = std::find_if(begin, marks.end(), [](const Mark& m) { return m.combining != 0; });
    const auto end = std::find_if(begin, marks.end(), [](const Mark& m) { return m.combining == 0; });
    std::stable_sort(begin, end, [](const Mark& a, const Mark& b) { return a.combining < b.combining; });
    begin = end;
  }
  if (!composes(form)) return;
  size_t out = 0, starter = 0;
  bool has_starter = false;
  for (size_t i = 0; i < marks.size(); ++i) {
    const Mark mark = marks[i];
    // Blocked where something of an equal or higher class, or a starter, stands between.
    const bool adjacent = has_starter && out == starter + 1;
    const bool free = has_starter && (adjacent || marks[out - 1].combining < mark.combining);
    if (const uint32_t joined = free ? t.compose(marks[starter].point, mark.point) : 0; joined != 0) {
      marks[starter].point = joined;
      continue;
    }
    if (mark.combining == 0) {
      starter = out;
      has_starter = true;
    }
    marks[out++] = mark;
  }
  marks.resize(out);
}

}  // namespace

bool is_surely_normal(std::string_view text, NormalForm form, NormalData data) {
  const char* end = text.data() + text.size();
  return find_unsafe(table(data), text.data(), end, form) == end;
}

std::string normalize(std::string_view text, NormalForm form, NormalData data) {
  const NormalTable& t = table(data);
  std::string out;
  out.reserve(text.size());
  std::vector<Mark> marks;
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const char* unsafe = find_unsafe(t, p, end, form);
    const char* begin = unsafe < end ? character_before(p, unsafe) : end;
    out.append(p, begin);
    marks.clear();
    for (p = begin; p < end;) {
      const CodePoint c = code_point(p, end);
      if (p >= unsafe && (c.value == CodePoint::kStray || !t.unsafe(c.value, form))) break;
      t.decompose(marks, c.value, compatible(form));
      p += c.length;
    }
    arrange(t, marks, form);
    for (const Mark& mark : marks) utf8_append(out, mark.point);
  }
  return out;
}

std::string to_lower(std::string_view text) {
  constexpr uint32_t kCapitalIWithDot = 0x130;  // the one letter that becomes two
  std::string out;
  out.reserve(text.size());
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const CodePoint c = code_point(p, end);
    if (c.value < 0x80) {
      out += c.value >= 'A' && c.value <= 'Z' ? static_cast<char>(*p + 32) : *p;
    } else if (c.value == kCapitalIWithDot) {
      out += "i\xCC\x87";
    } else if (c.value == CodePoint::kStray) {
      out += *p;
    } else {
      utf8_append(out, table(NormalData::current).lower(c.value));
    }
    p += c.length;
  }
  return out;
}

std::string strip_accents(std::string_view text, NormalData data) {
  const NormalTable& t = table(data);
  std::string out;
  out.reserve(text.size());
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const CodePoint c = code_point(p, end);
    const bool was_mark = data == NormalData::unicode9 && (c.value == 0x1CF2 || c.value == 0x1CF3);  // letters since 12
    const bool is_mark = c.value < kPoints && class_table().of(c.value) == kMark && t.known(c.value);
    if (!is_mark && !was_mark) out.append(p, c.length);
    p += c.length;
  }
  return out;
}

std::string_view strip_white(std::string_view text, bool left, bool right) {
  const ClassTable& t = class_table();
  const char *p = text.data(), *end = p + text.size();
  if (left) p = t.skip(kWhite, p, end);
  while (right && end > p) {
    const char* last = end - 1;
    while (last > p && end - last < 3 && (static_cast<uint8_t>(*last) & 0xC0) == 0x80) --last;
    const Symbol symbol = t.symbol(last, end);
    if ((symbol.cls & kWhite) == 0 || last + symbol.length != end) break;
    end = last;
  }
  return {p, static_cast<size_t>(end - p)};
}

}  // namespace trireme
