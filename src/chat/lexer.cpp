#include "chat/lexer.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/strings.h"
#include "chat/run.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

/// \r\n and \r become \n, and one newline at the end goes.
std::string normalize(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (ends_with(out, "\n")) out.pop_back();
  return out;
}

bool is_name_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, Tree& tree) : tree_(tree), text_(tree.keep(normalize(source))) {}

  std::vector<Lexeme> run() {
    while (at_ < text_.size()) take_data();
    add(Token::end);
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(std::string reason) const { throw TemplateError{line_, std::move(reason)}; }

  bool starts(std::string_view word) const { return text_.substr(at_, word.size()) == word; }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void add(Token type, std::string_view text = {}) { out_.push_back({type, line_, text}); }

  void move_to(size_t place) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(place), '\n'));
    line_starting_ = place > at_ ? text_[place - 1] == '\n' : line_starting_;
    at_ = place;
  }

  size_t skip_spaces(size_t from) const {
    CodePoints at(text_.substr(from));
    while (at.next()) {
      if (!is_space(at.point())) return from + at.begin();
    }
    return text_.size();
  }

  /// Emits the data before a tag, cut as the tag's sign and kind ask.
  void add_data(std::string_view data, char tag_sign, bool is_variable) {
    if (tag_sign == '-') {
      data = strip(data, nullptr, Side::right);
    } else if (tag_sign != '+' && !is_variable) {
      const size_t newline = data.rfind('\n');
      const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view rest = data.substr(begin);
      if ((begin > 0 || line_starting_) && !rest.empty() && strip(rest, nullptr, Side::both).empty()) {
        data = data.substr(0, begin);
      }
    }
    if (!data.empty()) add(Token::data, data);
  }

  /// The end of a tag that begins at `from` with [-+]? and `close`: where the next text starts. Blocks and comments
  /// take one newline with them.
  std::optional<size_t> end_of_tag(size_t from, std::string_view close, bool trims) const {
    const char sign = from < text_.size() ? text_[from] : '\0';
    const size_t begin = from + (sign == '-' || (sign == '+' && trims) ? 1 : 0);
    if (text_.substr(begin, close.size()) != close) return std::nullopt;
    const size_t end = begin + close.size();
    if (sign == '-') return skip_spaces(end);
    const bool newline = trims && sign != '+' && end < text_.size() && text_[end] == '\n';
    return end + (newline ? 1 : 0);
  }

  /// {% raw %}: the place after the tag, where one begins at `tag`.
  std::optional<size_t> raw_begin(size_t tag, std::string_view word, bool trims) const {
    if (text_.substr(tag, 2) != "{%") return std::nullopt;
    size_t i = tag + 2;
    if (i < text_.size() && (text_[i] == '-' || text_[i] == '+')) ++i;
    i = skip_spaces(i);
    if (text_.substr(i, word.size()) != word) return std::nullopt;
    i = skip_spaces(i + word.size());
    if (!trims && i < text_.size() && text_[i] == '+') return std::nullopt;
    const auto end = end_of_tag(i, "%}", trims);
    return end;
  }

  void take_data() {
    size_t tag = at_;
    while (true) {
      tag = text_.find('{', tag);
      if (tag == std::string_view::npos) {
        add(Token::data, text_.substr(at_));
        return move_to(text_.size());
      }
      const char next = tag + 1 < text_.size() ? text_[tag + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const char kind = text_[tag + 1];
    const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    add_data(text_.substr(at_, tag - at_), sign, kind == '{');
    move_to(tag);
    if (const auto end = raw_begin(tag, "raw", false)) return take_raw(*end);
    move_to(tag + (sign == '-' || sign == '+' ? 3 : 2));
    if (kind == '#') return take_comment();
    add(kind == '{' ? Token::variable_begin : Token::block_begin);
    take_code(kind == '{');
  }

  void take_comment() {
    for (size_t i = at_; (i = text_.find("#}", i)) != std::string_view::npos; ++i) {
      const bool signed_end = i > at_ && (text_[i - 1] == '-' || text_[i - 1] == '+');
      return move_to(*end_of_tag(signed_end ? i - 1 : i, "#}", true));
    }
    fail("a comment without its end '#}'");
  }

  void take_raw(size_t begin) {
    move_to(begin);
    for (size_t i = at_; (i = text_.find("{%", i)) != std::string_view::npos; ++i) {
      const auto end = raw_begin(i, "endraw", true);
      if (!end) continue;
      const char sign = i + 2 < text_.size() ? text_[i + 2] : '\0';
      add_data(text_.substr(at_, i - at_), sign, false);
      return move_to(*end);
    }
    fail("{% raw %} without {% endraw %}");
  }

  void take_code(bool is_variable) {
    open_.clear();
    while (true) {
      if (open_.empty()) {
        if (const auto end = end_of_tag(at_, is_variable ? "}}" : "%}", !is_variable)) {
          add(is_variable ? Token::variable_end : Token::block_end);
          return move_to(*end);
        }
      }
      if (at_ >= text_.size()) fail(is_variable ? "'{{' without '}}'" : "'{%' without '%}'");
      const size_t after = skip_spaces(at_);
      if (after != at_) {
        move_to(after);
      } else if (is_digit_char(peek())) {
        take_number();
      } else if (is_name_char(peek())) {
        take_name();
      } else if (peek() == '\'' || peek() == '"') {
        take_string();
      } else {
        take_sign();
      }
    }
  }

  void take_name() {
    size_t end = at_;
    while (end < text_.size() && is_name_char(text_[end])) ++end;
    // White space beyond ASCII ends a name too.
    CodePoints at(text_.substr(at_, end - at_));
    while (at.next()) {
      if (is_space(at.point())) end = at_ + at.begin();
      if (is_space(at.point())) break;
      if (at.point() >= 0x80 && !is_alpha(at.point()) && !is_numeric(at.point())) {
        fail(cat("unexpected character '", at.bytes(), "'"));
      }
    }
    add(Token::name, text_.substr(at_, end - at_));
    move_to(end);
  }

  /// Digits with single underscores between them; the place behind them.
  size_t digits_end(size_t i) const {
    while (i < text_.size() &&
           (is_digit_char(text_[i]) || (text_[i] == '_' && i + 1 < text_.size() && is_digit_char(text_[i + 1])))) {
      ++i;
    }
    return i;
  }

  void take_number() {
    const auto digit_at = [&](size_t i) { return i < text_.size() && is_digit_char(text_[i]); };
    size_t end = digits_end(at_);
    bool real = false;
    if (end < text_.size() && text_[end] == '.' && digit_at(end + 1)) {
      real = true;
      end = digits_end(end + 1);
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const size_t power = end + (end + 1 < text_.size() && (text_[end + 1] == '-' || text_[end + 1] == '+') ? 2 : 1);
      if (digit_at(power)) {
        real = true;
        end = digits_end(power);
      }
    }
    real = real && (at_ == 0 || text_[at_ - 1] != '.');
    if (!real) return take_integer();
    std::string digits(text_.substr(at_, end - at_));
    std::erase(digits, '_');
    double value = 0;
    if (!parse_real(digits, value)) fail(cat("the number ", digits.substr(0, 40), " is out of range"));
    out_.push_back({Token::real, line_, {}, value});
    move_to(end);
  }

  void take_integer() {
    const char kind = peek() == '0' ? static_cast<char>(peek(1) | 0x20) : '\0';
    const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    size_t i = at_ + (base == 10 ? 0 : 2);
    const bool zeros = base == 10 && peek() == '0';  // 007 is 0, 0 and 7 for jinja2, and so an error
    int64_t value = 0;
    const size_t first = i;
    for (; i < text_.size(); ++i) {
      if (text_[i] == '_' && (i > first || base != 10)) continue;
      const int digit = digit_value(text_[i]);
      if (digit >= base || (zeros && digit != 0)) break;
      if (__builtin_mul_overflow(value, int64_t{base}, &value) ||
          __builtin_add_overflow(value, int64_t{digit}, &value)) {
        fail("an integer does not fit into 64 bits");
      }
    }
    if (i == first) {  // 0x without digits: the 0 stands alone
      i = at_ + 1;
      value = 0;
    }
    while (text_[i - 1] == '_') --i;
    out_.push_back({Token::integer, line_, {}, value});
    move_to(i);
  }

  void take_string() {
    const char quote = peek();
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a string without its end");
    add(Token::text, tree_.keep(unescape(text_.substr(at_ + 1, end - at_ - 1))));
    move_to(end + 1);
  }

  /// Python's unicode_escape after backslashreplace, which is how jinja2 reads strings.
  std::string unescape(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\' || i + 1 >= raw.size()) {
        out += raw[i++];
        continue;
      }
      const char c = raw[i + 1];
      constexpr std::string_view kFrom = "nrtabfv\\'\"", kTo = "\n\r\t\a\b\f\v\\'\"";
      if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
        out += kTo[simple];
        i += 2;
      } else if (c == '\n') {
        i += 2;
      } else if (c >= '0' && c <= '7') {
        unsigned value = 0;
        size_t end = i + 1;
        for (; end < raw.size() && end < i + 4 && raw[end] >= '0' && raw[end] <= '7'; ++end) {
          value = value * 8 + static_cast<unsigned>(raw[end] - '0');
        }
        utf8_append(out, value);
        i = end;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        utf8_append(out, hex(raw.substr(std::min(i + 2, raw.size()), digits), digits));
        i += 2 + digits;
      } else if (c == 'N') {
        fail("characters by name, \\N{...}, are not supported");
      } else if (static_cast<unsigned char>(c) >= 0x80) {  // the replaced character is escaped by this backslash
        const uint32_t point = utf8_decode(raw, i + 1);
        out += cat("\\", point < 0x100 ? "x" : point < 0x10000 ? "u" : "U");
        const int size = point < 0x100 ? 2 : point < 0x10000 ? 4 : 8;
        for (int d = size - 1; d >= 0; --d) out += "0123456789abcdef"[point >> (4 * d) & 15];
        i += 1 + static_cast<size_t>(utf8_length(raw, i + 1));
      } else {
        out += raw[i++];
      }
    }
    return out;
  }

  uint32_t hex(std::string_view digits, size_t wanted) const {
    uint32_t value = 0;
    for (const char c : digits) {
      if (digit_value(c) >= 16) fail("a malformed \\x, \\u or \\U in a string");
      value = value * 16 + static_cast<uint32_t>(digit_value(c));
    }
    if (digits.size() != wanted) fail("a malformed \\x, \\u or \\U in a string");
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      fail("a string with a code point that is no character");
    return value;
  }

  void take_sign() {
    constexpr std::string_view kSigns[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                           "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found = std::find_if(std::begin(kSigns), std::end(kSigns), [&](auto sign) { return starts(sign); });
    if (found == std::end(kSigns)) {
      fail(cat("unexpected character '", text_.substr(at_, static_cast<size_t>(std::max(1, utf8_length(text_, at_)))),
               "'"));
    }
    const std::string_view sign = *found;
    if (sign == "(" || sign == "[" || sign == "{") {
      open_ += sign == "(" ? ')' : sign == "[" ? ']' : '}';
    } else if (sign == ")" || sign == "]" || sign == "}") {
      if (open_.empty() || open_.back() != sign[0]) fail(cat("unexpected '", sign, "'"));
      open_.pop_back();
    }
    add(Token::sign, sign);
    move_to(at_ + sign.size());
  }

  Tree& tree_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string open_;  // brackets that wait for their end, as the end
  std::vector<Lexeme> out_;
};

}  // namespace

std::vector<Lexeme> tokenize(std::string_view source, Tree& tree) { return Lexer(source, tree).run(); }

}  // namespace trireme::jinja
