// Text as Python's str sees it: code points, not bytes, with Python's own idea of white space, case and what may be
// printed. All functions expect well-formed UTF-8, which is all that a template or its values ever hold.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "chat/run.h"

namespace trireme::jinja {

/// str.isspace() of one character. Wider than Unicode's White_Space by U+001C to U+001F.
bool is_space(uint32_t c);
bool is_printable(uint32_t c);
bool is_alpha(uint32_t c);
bool is_decimal(uint32_t c);
bool is_digit(uint32_t c);
bool is_numeric(uint32_t c);
bool is_upper(uint32_t c);
bool is_lower(uint32_t c);
bool is_title(uint32_t c);  // of title case and not upper case: Dz as one character
inline bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

void append_upper(Text& out, std::string_view text);
void append_lower(Text& out, std::string_view text);
/// The first character in title case.
void append_title_case(Text& out, std::string_view character);

/// Number of code points.
int64_t text_length(std::string_view text);
/// Byte offset of code point `index`, 0 to text_length.
size_t text_offset(std::string_view text, int64_t index);

/// Walks over code points.
class CodePoints {
 public:
  explicit CodePoints(std::string_view text) : text_(text) {}
  /// False at the end; else moves on by one character.
  bool next();
  uint32_t point() const { return point_; }
  std::string_view bytes() const { return text_.substr(begin_, end_ - begin_); }
  size_t begin() const { return begin_; }
  size_t end() const { return end_; }

 private:
  std::string_view text_;
  size_t begin_ = 0, end_ = 0;
  uint32_t point_ = 0;
};

/// str.splitlines().
std::vector<std::string_view> split_lines(Run& run, std::string_view text, bool keep_ends);

enum class Side { both, left, right };
/// Without the characters of `set` at its ends, or without white space where `set` is null.
std::string_view strip(std::string_view text, const std::string_view* set, Side side);

}  // namespace trireme::jinja
