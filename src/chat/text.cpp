#include "chat/text.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "base/strings.h"
#include "chat/case_tables.h"

namespace trireme::jinja {
namespace {

/// A class of characters: the ends of its runs, so that a binary search finds the run of a code point.
class RunTable {
 public:
  explicit RunTable(std::span<const uint32_t> runs) {
    uint32_t at = 0;
    for (const uint32_t length : runs) ends_.push_back(at += length);
  }
  bool has(uint32_t c) const {
    const auto found = std::upper_bound(ends_.begin(), ends_.end(), c);
    return found != ends_.end() && (found - ends_.begin()) % 2 == 1;
  }

 private:
  std::vector<uint32_t> ends_;
};

const CaseRun* find_run(std::span<const CaseRun> map, uint32_t c) {
  auto run =
      std::upper_bound(map.begin(), map.end(), c, [](uint32_t point, const CaseRun& r) { return point < r.first; });
  if (run == map.begin()) return nullptr;
  --run;
  return c <= run->last && (c - run->first) % run->step == 0 ? &*run : nullptr;
}

const char* find_special(std::span<const SpecialCase> list, uint32_t c) {
  const auto found = std::lower_bound(list.begin(), list.end(), c,
                                      [](const SpecialCase& s, uint32_t point) { return s.point < point; });
  return found != list.end() && found->point == c ? found->text : nullptr;
}

/// The final form of sigma: after a cased letter and before none.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  const auto letter_at = [&](size_t i) { return is_cased(utf8_decode(text, i)); };
  bool after = false;
  if (begin > 0) {
    size_t i = begin - 1;
    while (i > 0 && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) --i;
    after = letter_at(i);
  }
  return after && !(end < text.size() && letter_at(end));
}

}  // namespace

bool is_space(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_printable(uint32_t c) {
  if (c < 0x7F) return c >= 0x20;
  static const RunTable table(kPrintableRuns);
  return table.has(c);
}

bool is_alpha(uint32_t c) {
  static const RunTable table(kAlphaRuns);
  return table.has(c);
}

bool is_decimal(uint32_t c) {
  static const RunTable table(kDecimalRuns);
  return table.has(c);
}

bool is_digit(uint32_t c) {
  static const RunTable table(kDigitRuns);
  return is_decimal(c) || table.has(c);
}

bool is_numeric(uint32_t c) {
  static const RunTable table(kNumericRuns);
  return is_digit(c) || table.has(c);
}

bool is_upper(uint32_t c) {
  static const RunTable table(kUpperRuns);
  return table.has(c);
}

bool is_lower(uint32_t c) {
  static const RunTable table(kLowerRuns);
  return table.has(c);
}

bool is_title(uint32_t c) {
  static const RunTable table(kTitleRuns);
  return table.has(c);
}

void append_upper(Text& out, std::string_view text) {
  for (CodePoints at(text); at.next();) {
    const uint32_t c = at.point();
    if (const char* special = find_special(kUpperSpecial, c)) {
      out << special;
    } else if (const CaseRun* run = find_run(kUpperMap, c)) {
      out.code_point(c + static_cast<uint32_t>(run->delta));
    } else {
      out << at.bytes();
    }
  }
}

void append_lower(Text& out, std::string_view text) {
  constexpr uint32_t kSigma = 0x3A3, kFinalSigma = 0x3C2;
  for (CodePoints at(text); at.next();) {
    const uint32_t c = at.point();
    if (c == kSigma && is_final_sigma(text, at.begin(), at.end())) {
      out.code_point(kFinalSigma);
    } else if (const char* special = find_special(kLowerSpecial, c)) {
      out << special;
    } else if (const CaseRun* run = find_run(kLowerMap, c)) {
      out.code_point(c + static_cast<uint32_t>(run->delta));
    } else {
      out << at.bytes();
    }
  }
}

void append_title_case(Text& out, std::string_view character) {
  const uint32_t c = utf8_decode(character, 0);
  if (const char* special = find_special(kTitleSpecial, c)) {
    out << special;
  } else if (const CaseRun* run = find_run(kTitleMap, c)) {
    out.code_point(c + static_cast<uint32_t>(run->delta));
  } else {
    append_upper(out, character);
  }
}

int64_t text_length(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

size_t text_offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<uint8_t>(text[at]) & 0xC0) != 0x80 && index-- == 0) break;
  }
  return at;
}

bool CodePoints::next() {
  begin_ = end_;
  if (begin_ >= text_.size()) return false;
  point_ = static_cast<uint8_t>(text_[begin_]);
  if (point_ < 0x80) {
    end_ = begin_ + 1;
  } else {
    point_ = utf8_decode(text_, begin_);
    end_ = begin_ + static_cast<size_t>(utf8_length(text_, begin_));
  }
  return true;
}

std::vector<std::string_view> split_lines(Run& run, std::string_view text, bool keep_ends) {
  const auto ends_line = [](uint32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (CodePoints at(text); at.next();) {
    if (!ends_line(at.point()) || at.begin() < begin) continue;
    size_t end = at.end();
    if (at.point() == '\r' && end < text.size() && text[end] == '\n') ++end;
    run.work();
    run.room(static_cast<int64_t>(out.size() * 2 * sizeof(std::string_view)));
    out.push_back(text.substr(begin, (keep_ends ? end : at.begin()) - begin));
    begin = end;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

std::string_view strip(std::string_view text, const std::string_view* set, Side side) {
  const auto goes = [&](std::string_view bytes, uint32_t c) {
    return set == nullptr ? is_space(c) : set->find(bytes) != std::string_view::npos;
  };
  if (side != Side::right) {
    CodePoints at(text);
    bool more = at.next();
    while (more && goes(at.bytes(), at.point())) more = at.next();
    text.remove_prefix(more ? at.begin() : text.size());
  }
  while (side != Side::left && !text.empty()) {
    size_t i = text.size() - 1;
    while (i > 0 && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) --i;
    if (!goes(text.substr(i), utf8_decode(text, i))) break;
    text = text.substr(0, i);
  }
  return text;
}

}  // namespace trireme::jinja
