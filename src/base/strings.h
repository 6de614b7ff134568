// Small text helpers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// ", did you mean 'X'?" with the nearest of `known` by edit distance, else ", valid: a, b, c".
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);

/// "1.5 GiB", "340 MiB", "12 KiB", "7 B".
std::string human_bytes(double bytes);
/// "1.23 M", "45.6 k", "7.8 B" (billions).
std::string human_count(double count);
/// "1h02m", "3m20s", "12 s".
std::string human_seconds(double seconds);
/// Shortest text that reads back to the same number; at most `digits` significant ones if given.
std::string number(double value, int digits = 0);

/// Whole text as a number; false where it is none (or out of range).
bool parse_integer(std::string_view text, int64_t& value);
bool parse_real(std::string_view text, double& value);

/// Value of 0-9, a-z or A-Z as a digit of bases up to 36; 36 where c is none.
constexpr int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 36;
}

/// Appends the bytes that padded base64 stands for; false where it is none.
bool decode_base64(std::string& out, std::string_view text);

/// Bytes of the UTF-8 sequence that starts at text[i] (1 to 4), or 0 where it is malformed or cut short.
int utf8_length(std::string_view text, size_t i);
/// The code point there; utf8_length must not be 0.
uint32_t utf8_decode(std::string_view text, size_t i);
void utf8_append(std::string& out, uint32_t code_point);
/// `text` with U+FFFD for every byte that is not UTF-8.
std::string replace_invalid_utf8(std::string_view text);
/// Byte offset of the first byte that is not UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

}  // namespace trireme
