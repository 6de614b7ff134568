#include "data/json_text.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr int kMaxDepth = 64;
constexpr uint32_t kReplacement = 0xFFFD;
constexpr size_t kLongestList = 200;  // bytes of a list of keys in an error

constexpr bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20; }
constexpr bool is_number_part(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

}  // namespace

JsonTextReader::JsonTextReader(TextCursor cursor, const std::string& key, bool lines)
    : cursor_(std::move(cursor)),
      keys_(split(key, '+')),
      parts_(keys_.size()),
      found_(keys_.size()),
      lines_(lines),
      limit_(std::numeric_limits<size_t>::max()) {
  cursor_.skip_byte_order_mark();
  if (lines_) return;
  skip_space();
  lines_ = !at_limit() && cursor_.peek() == '{';
}

void JsonTextReader::go_on(uint64_t position) {
  cursor_.seek(position);
  first_ = false;
}

bool JsonTextReader::next(std::string& out) {
  cursor_.release();
  return lines_ ? next_line(out) : next_item(out);
}

bool JsonTextReader::next_line(std::string& out) {
  for (;;) {
    if (cursor_.at_end()) return false;
    limit_ = cursor_.position() + cursor_.line_length();
    skip_space();
    const bool blank = at_limit();
    if (!blank) {
      read_record(out);
      skip_space();
      if (!at_limit()) fail_expected("the end of the line behind the value");
    }
    if (!cursor_.at_end()) cursor_.skip(1);
    if (!blank) return true;
  }
}

bool JsonTextReader::next_item(std::string& out) {
  if (done_) return false;
  skip_space();
  if (first_ && !accept('['))
    fail_expected("'[', a list of objects or strings (a file with an object on each line is .jsonl)");
  skip_space();
  done_ = accept(']');
  if (done_) {
    skip_space();
    if (!at_limit()) fail_expected("the end of the file behind the list");
    return false;
  }
  if (!first_) expect(',', "',' or ']' behind an item of the list");
  first_ = false;
  skip_space();
  read_record(out);
  return true;
}

void JsonTextReader::read_record(std::string& out) {
  if (at_limit() || (cursor_.peek() != '{' && cursor_.peek() != '"')) fail_expected("an object or a string");
  if (cursor_.peek() == '"')
    read_string(&out);
  else
    read_object(out);
}

/// Appends the texts of keys_; of a key that is there twice the last counts, as in other readers.
void JsonTextReader::read_object(std::string& out) {
  const size_t begin = cursor_.position();
  found_.assign(keys_.size(), false);
  names_.clear();
  cursor_.skip(1);
  skip_space();
  for (bool first = true; !accept('}'); first = false) {
    if (!first) expect(',', "',' or '}' behind a member of the object");
    skip_space();
    name_.clear();
    if (at_limit() || cursor_.peek() != '"') fail_expected("a key in quotes");
    read_string(&name_);
    skip_space();
    expect(':', "':' behind a key");
    skip_space();
    const auto key = static_cast<size_t>(std::find(keys_.begin(), keys_.end(), name_) - keys_.begin());
    if (key < keys_.size()) {
      if (at_limit() || cursor_.peek() != '"') fail_expected(cat("a string as the value of \"", name_, "\"").c_str());
      parts_[key].clear();
      read_string(&parts_[key]);
      found_[key] = true;
    } else {
      skip_value(1);
    }
    if (names_.size() < kLongestList) names_.append(names_.empty() ? "" : ", ").append(name_);
    skip_space();
  }
  for (size_t key = 0; key < keys_.size(); ++key) {
    if (!found_[key])
      cursor_.fail(begin, cat("this object has no key \"", keys_[key], "\"; it has: ", names_.substr(0, kLongestList),
                              "; name the key of the text with --column or data.column"));
    out += parts_[key];
  }
}

void JsonTextReader::read_string(std::string* out) {
  const size_t opened = cursor_.position();
  cursor_.skip(1);
  for (;;) {
    const std::string_view text = rest();
    if (text.empty()) cursor_.fail(opened, "the quote that opens this string is never closed");
    size_t n = 0;
    while (n < text.size() && text[n] != '"' && text[n] != '\\' && !is_control(text[n])) ++n;
    if (out) out->append(text.substr(0, n));
    cursor_.skip(n);
    if (n == text.size()) continue;
    const char end = text[n];
    if (is_control(end)) fail_expected("an escape such as \\n for a control character within a string");
    cursor_.skip(1);
    if (end == '"') return;
    read_escape(out);
  }
}

void JsonTextReader::read_escape(std::string* out) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (accept('u')) {
    uint32_t code = read_hex4();
    while (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
      const bool escape = starts_with(rest(2), "\\u");
      uint32_t second = 0;
      if (escape) {
        cursor_.skip(2);
        second = read_hex4();
      }
      const bool pair = second >= 0xDC00 && second < 0xE000;
      if (out) utf8_append(*out, pair ? 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00) : kReplacement);
      if (pair || !escape) return;
      code = second;
    }
    if (out) utf8_append(*out, code >= 0xDC00 && code < 0xE000 ? kReplacement : code);
    return;
  }
  const size_t letter = at_limit() ? std::string_view::npos : kLetters.find(cursor_.peek());
  if (letter == std::string_view::npos) fail_expected("one of \" \\ / b f n r t u behind a backslash");
  if (out) out->push_back(kMeanings[letter]);
  cursor_.skip(1);
}

uint32_t JsonTextReader::read_hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_limit() ? '\0' : cursor_.peek();
    if (digit_value(c) >= 16) fail_expected("four hexadecimal digits behind \\u");
    code = code * 16 + static_cast<uint32_t>(digit_value(c));
    cursor_.skip(1);
  }
  return code;
}

void JsonTextReader::skip_value(int depth) {
  if (at_limit()) fail_expected("a value");
  if (cursor_.peek() == '"') return read_string(nullptr);
  if (cursor_.peek() == '{' || cursor_.peek() == '[') return skip_members(depth);
  for (const std::string_view word : {"true", "false", "null"})
    if (starts_with(rest(word.size()), word)) return cursor_.skip(word.size());
  if (!is_number_part(cursor_.peek())) fail_expected("a value");
  while (!at_limit() && is_number_part(cursor_.peek())) cursor_.skip(1);
}

void JsonTextReader::skip_members(int depth) {
  if (depth >= kMaxDepth) fail_expected("lists and objects nested at most 64 deep");
  const bool object = accept('{');
  if (!object) cursor_.skip(1);
  const char close = object ? '}' : ']';
  skip_space();
  for (bool first = true; !accept(close); first = false) {
    if (!first)
      expect(',', object ? "',' or '}' behind a member of the object" : "',' or ']' behind an item of the list");
    skip_space();
    if (object) {
      if (at_limit() || cursor_.peek() != '"') fail_expected("a key in quotes");
      read_string(nullptr);
      skip_space();
      expect(':', "':' behind a key");
      skip_space();
    }
    skip_value(depth + 1);
    skip_space();
  }
}

void JsonTextReader::skip_space() {
  while (!at_limit() &&
         (cursor_.peek() == ' ' || cursor_.peek() == '\t' || cursor_.peek() == '\r' || cursor_.peek() == '\n'))
    cursor_.skip(1);
}

bool JsonTextReader::accept(char c) {
  if (at_limit() || cursor_.peek() != c) return false;
  cursor_.skip(1);
  return true;
}

void JsonTextReader::expect(char c, const char* what) {
  if (!accept(c)) fail_expected(what);
}

void JsonTextReader::fail_expected(const char* what) {
  const std::string found = at_limit()                   ? (lines_ ? "the line ends" : "the file ends")
                            : is_control(cursor_.peek()) ? cat("found byte ", +cursor_.peek())
                                                         : cat("found '", cursor_.peek(), "'");
  cursor_.fail(cursor_.position(), cat("expected ", what, ", ", found));
}

}  // namespace trireme
