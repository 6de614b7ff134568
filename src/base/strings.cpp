#include "base/strings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace trireme {
namespace {

constexpr size_t kLongestWord = 64;  // longer ones are not misspelt keys, and the distance is quadratic

/// Levenshtein distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

/// `value` in the largest of `units`, each `step` times the one before, with three significant digits.
std::string scaled(double value, double step, std::span<const std::string_view> units) {
  size_t u = 0;
  while (std::abs(value) >= step && u + 1 < units.size()) {
    value /= step;
    ++u;
  }
  const std::string digits = std::abs(value) < 100 ? number(value, 3) : number(std::round(value));
  return units[u].empty() ? digits : cat(digits, " ", units[u]);
}

std::string two_digits(int64_t value) { return cat(value < 10 ? "0" : "", value); }

template <class T>
bool parse_whole(std::string_view text, T& value) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  value = parsed;
  return true;
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  std::string_view nearest;
  size_t best = std::max<size_t>(2, word.size() / 3) + 1;
  if (word.size() <= kLongestWord) {
    for (const std::string_view k : known) {
      const size_t distance = edit_distance(word, k);
      if (distance < std::min(best, k.size())) {
        best = distance;
        nearest = k;
      }
    }
  }
  if (!nearest.empty()) return cat(", did you mean '", nearest, "'?");
  std::string out;
  for (const std::string_view k : known) out += cat(out.empty() ? ", valid: " : ", ", k);
  return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

bool starts_with(std::string_view text, std::string_view prefix) { return text.starts_with(prefix); }
bool ends_with(std::string_view text, std::string_view suffix) { return text.ends_with(suffix); }

std::string human_bytes(double bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  return scaled(bytes, 1024, kUnits);
}

std::string human_count(double count) {
  constexpr std::string_view kUnits[] = {"", "k", "M", "B", "T"};
  return scaled(count, 1000, kUnits);
}

std::string human_seconds(double seconds) {
  if (!(std::abs(seconds) < 1e15)) return number(seconds) + " s";
  if (seconds < 9.95) return number(seconds, 2) + " s";
  const int64_t s = std::llround(seconds);
  if (s < 60) return cat(s, " s");
  if (s < 3600) return cat(s / 60, "m", two_digits(s % 60), "s");
  return cat(s / 3600, "h", two_digits(s / 60 % 60), "m");
}

std::string number(double value, int digits) {
  char buffer[512];
  const std::to_chars_result end =
      digits > 0 ? std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, digits)
                 : std::to_chars(buffer, buffer + sizeof buffer, value);
  CHECK(end.ec == std::errc(), digits, " digits");
  return {buffer, end.ptr};
}

bool parse_integer(std::string_view text, int64_t& value) { return parse_whole(text, value); }

bool parse_real(std::string_view text, double& value) {
  double parsed = 0;
  if (!parse_whole(text, parsed) || !std::isfinite(parsed)) return false;
  value = parsed;
  return true;
}

bool decode_base64(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return false;
  size_t digits = text.size();
  while (digits > 0 && text.size() - digits < 2 && text[digits - 1] == '=') --digits;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text.substr(0, digits)) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return (bits & ((1U << count) - 1)) == 0;
}

int utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return i + k < text.size() ? static_cast<uint8_t>(text[i + k]) : uint8_t{0}; };
  const auto follows = [&](size_t k) { return (byte(k) & 0xC0) == 0x80; };
  if (i >= text.size()) return 0;
  const uint8_t lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // a continuation, or longer than needed
  if (lead < 0xE0) return follows(1) ? 2 : 0;
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && second < 0xA0, surrogate = lead == 0xED && second >= 0xA0;
    return !overlong && !surrogate && follows(1) && follows(2) ? 3 : 0;
  }
  const bool overlong = lead == 0xF0 && second < 0x90;
  const bool beyond = lead > 0xF4 || (lead == 0xF4 && second >= 0x90);
  return !overlong && !beyond && follows(1) && follows(2) && follows(3) ? 4 : 0;
}

uint32_t utf8_decode(std::string_view text, size_t i) {
  const int length = utf8_length(text, i);
  CHECK(length != 0, "no UTF-8 at byte ", i);
  constexpr uint8_t kLeadMask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t code_point = static_cast<uint8_t>(text[i]) & kLeadMask[length];
  for (size_t k = 1; k < static_cast<size_t>(length); ++k)
    code_point = (code_point << 6) | (static_cast<uint8_t>(text[i + k]) & 0x3F);
  return code_point;
}

void utf8_append(std::string& out, uint32_t code_point) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto follow = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    follow(0);
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    follow(6);
    follow(0);
  } else {
    CHECK(code_point <= 0x10FFFF, code_point, " is no code point");
    put(0xF0 | (code_point >> 18));
    follow(12);
    follow(6);
    follow(0);
  }
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const int length = utf8_length(text, i);
    if (length == 0) return i;
    i += static_cast<size_t>(length);
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = std::min(find_invalid_utf8(text), text.size());
    out += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) break;
    utf8_append(out, 0xFFFD);
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace trireme
