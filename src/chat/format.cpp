#include "chat/format.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/strings.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20, kMaxPrecision = 400;

/// [[fill]align][sign][#][0][width][,][.precision][type]
struct Spec {
  std::string_view fill = " ";
  char align = 0;  // < > ^ = or 0 for the type's own
  char sign = '-';
  bool alternate = false;
  char group = 0;
  int64_t width = 0, precision = -1;
  char type = 0;
};

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

int64_t take_number(Run& run, std::string_view& text, int64_t limit) {
  int64_t n = 0;
  while (!text.empty() && is_digit_char(text[0])) {
    n = n * 10 + (text[0] - '0');
    if (n > limit) run.fail(cat("a width or precision of more than ", limit));
    text.remove_prefix(1);
  }
  return n;
}

/// `digits` with its prefix ("-", "0x"), padded to the width.
void append_padded(Text& out, const Spec& spec, std::string_view prefix, std::string_view body, char own_align) {
  const int64_t missing = spec.width - text_length(prefix) - text_length(body);
  const char align = spec.align != 0 ? spec.align : own_align;
  const int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  const auto pad = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) out << spec.fill;
  };
  pad(left);
  out << prefix;
  if (align == '=') pad(missing);
  out << body;
  if (align != '=') pad(missing - left);
}

std::string sign_of(bool negative, char style) { return negative ? "-" : style == '-' ? "" : std::string(1, style); }

std::string grouped(std::string digits, char separator, int size) {
  for (auto i = static_cast<int64_t>(digits.size()) - size; i > 0; i -= size) {
    digits.insert(static_cast<size_t>(i), 1, separator);
  }
  return digits;
}

std::string based(uint64_t value, char type) {
  const unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  const char* digits = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do {
    out += digits[value % base];
    value /= base;
  } while (value != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

void append_integer(Text& out, const Spec& spec, int64_t value) {
  const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string body = based(size, spec.type);
  if (spec.group != 0) body = grouped(body, spec.group, spec.type == 0 || spec.type == 'd' ? 3 : 4);
  std::string prefix = sign_of(value < 0, spec.sign);
  if (spec.alternate && spec.type != 0 && spec.type != 'd') prefix += std::string("0") + spec.type;
  append_padded(out, spec, prefix, body, '>');
}

/// |value| with C's own conversion, which is Python's too but for the names of what is no number.
std::string real_body(const Spec& spec, double value, char type, int64_t precision) {
  std::string body;
  if (std::isfinite(value)) {
    const std::string format = std::string(spec.alternate ? "%#.*" : "%.*") + type;
    const int size = std::snprintf(nullptr, 0, format.c_str(), static_cast<int>(precision), std::abs(value));
    body.resize(static_cast<size_t>(size) + 1);
    std::snprintf(body.data(), body.size(), format.c_str(), static_cast<int>(precision), std::abs(value));
    body.pop_back();
  } else {
    body = std::isnan(value) ? "nan" : "inf";
    if (type == 'E' || type == 'F' || type == 'G') body = std::isnan(value) ? "NAN" : "INF";
  }
  return body;
}

void append_real(Run& run, Text& out, const Spec& spec, double value) {
  const bool percent = spec.type == '%';
  std::string body;
  if (spec.type == 0 && spec.precision < 0) {
    body = real_text(std::abs(value));
  } else if (spec.type == 0) {
    body = real_body(spec, value, 'g', std::max<int64_t>(spec.precision, 1));
    if (std::isfinite(value) && body.find_first_of(".e") == std::string::npos) {
      // Python keeps one digit after the point unless there is no room for it.
      if (static_cast<int64_t>(body.size()) < std::max<int64_t>(spec.precision, 1))
        body += ".0";
      else
        body = real_body(spec, value, 'e', std::max<int64_t>(spec.precision, 1) - 1);
    }
  } else {
    const double scaled = percent ? value * 100 : value;
    body = real_body(spec, scaled, percent ? 'f' : spec.type, spec.precision < 0 ? 6 : spec.precision);
  }
  if (percent) body += "%";
  if (spec.group != 0) {
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    body = grouped(body.substr(0, whole), spec.group, 3) + body.substr(whole);
  }
  run.work(static_cast<int64_t>(body.size()));
  append_padded(out, spec, sign_of(std::signbit(value) && !std::isnan(value), spec.sign), body, '>');
}

void append_string(Text& out, const Spec& spec, std::string_view text) {
  if (spec.precision >= 0) text = text.substr(0, text_offset(text, spec.precision));
  append_padded(out, spec, "", text, '<');
}

Spec parse_spec(Run& run, std::string_view text) {
  Spec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = text.empty() ? 0 : static_cast<size_t>(utf8_length(text, 0));
  if (first > 0 && first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    text.remove_prefix(first + 1);
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  const auto take = [&](std::string_view any) {
    if (text.empty() || any.find(text[0]) == std::string_view::npos) return '\0';
    const char c = text[0];
    text.remove_prefix(1);
    return c;
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.align = '=';
    spec.fill = "0";
  }
  spec.width = take_number(run, text, kMaxWidth);
  spec.group = take(",_");
  if (take(".") != 0) {
    if (text.empty() || !is_digit_char(text[0])) run.fail("a format without its precision");
    spec.precision = take_number(run, text, kMaxPrecision);
  }
  spec.type = take("bcdeEfFgGnosxX%");
  if (!text.empty()) run.fail("an invalid format specifier");
  return spec;
}

/// format(value, text).
void append_formatted(Run& run, Text& out, const Value& v, std::string_view text) {
  if (text.empty()) return append_str(out, v);
  const auto one_of = [](char type, std::string_view types) { return types.find(type) != std::string_view::npos; };
  Spec spec = parse_spec(run, text);
  if (v.is(Kind::string) && (spec.type == 0 || spec.type == 's') && spec.align != '=') {
    return append_string(out, spec, v.text);
  }
  if (v.is_integral() && (spec.type == 0 || one_of(spec.type, "bdoxXn"))) {
    if (spec.precision >= 0) run.fail("precision is not allowed for an integer");
    if (spec.type == 'n') spec.type = 'd';
    return append_integer(out, spec, v.as_int());
  }
  if (v.is_number() && (spec.type == 0 || one_of(spec.type, "eEfFgGn%"))) {
    if (spec.type == 'n') spec.type = 'g';
    return append_real(run, out, spec, v.as_real());
  }
  require_defined(run, v);
  run.fail(cat("the format '", text, "' does not fit a value of type '", type_name(v), "'"));
}

/// The replacement fields of a format text, with their numbering.
class Braces {
 public:
  Braces(Run& run, const Call& call) : run_(run), call_(call) {}

  void append(Text& out, std::string_view format, int level) {
    if (level > 2) run_.fail("format fields nested too deep");
    for (size_t i = 0; i < format.size();) {
      const char c = format[i];
      const bool twice = i + 1 < format.size() && format[i + 1] == c;
      if (c != '{' && c != '}') {
        const size_t end = std::min(format.find_first_of("{}", i), format.size());
        out << format.substr(i, end - i);
        i = end;
      } else if (twice) {
        out << format.substr(i, 1);
        i += 2;
      } else if (c == '}') {
        run_.fail("Single '}' encountered in format string");
      } else {
        const size_t end = close_of(format, i);
        append_field(out, format.substr(i + 1, end - i - 1), level);
        i = end + 1;
      }
    }
  }

 private:
  size_t close_of(std::string_view format, size_t open) {
    int depth = 0;
    for (size_t i = open; i < format.size(); ++i) {
      if (format[i] == '{') ++depth;
      if (format[i] == '}' && --depth == 0) return i;
    }
    run_.fail("expected '}' before end of string");
  }

  void append_field(Text& out, std::string_view field, int level) {
    size_t end = 0;  // of the name: brackets hide ! and :
    for (bool inside = false; end < field.size() && (inside || (field[end] != '!' && field[end] != ':')); ++end) {
      if (field[end] == '[') inside = true;
      if (field[end] == ']') inside = false;
    }
    Value v = lookup(field.substr(0, end));
    field.remove_prefix(end);
    if (!field.empty() && field[0] == '!') {
      if (field.size() < 2 || (field.size() > 2 && field[2] != ':'))
        run_.fail("expected ':' after conversion specifier");
      if (field[1] == 'r') {
        v = run_.keep(repr_text(run_, v));
      } else if (field[1] == 's') {
        v = as_text(run_, v);
      } else {
        run_.fail(cat("unknown conversion specifier '", field.substr(1, 1), "'"));
      }
      field.remove_prefix(2);
    }
    Text spec(run_);
    if (!field.empty()) append(spec, field.substr(1), level + 1);
    append_formatted(run_, out, v, spec.view());
  }

  Value first(std::string_view name) {
    int64_t index = 0;
    const bool numbered = parse_integer(name, index) && is_digit_char(name[0]);
    if (name.empty() || numbered) {
      if (numbered ? automatic_ > 0 : manual_) run_.fail("cannot mix manual and automatic field numbering");
      if (numbered)
        manual_ = true;
      else
        index = automatic_++;
      if (index >= static_cast<int64_t>(call_.args.size()))
        run_.fail(cat("there is no argument ", index, " to format"));
      return call_.args[static_cast<size_t>(index)];
    }
    for (const Named& named : call_.named) {
      if (named.name == name) return named.value;
    }
    run_.fail(cat("there is no argument '", name, "' to format"));
  }

  Value lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value v = first(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      const bool dot = path[0] == '.';
      const size_t stop = dot ? std::min(path.find_first_of(".[", 1), path.size()) : path.find(']');
      if ((!dot && path[0] != '[') || stop == std::string_view::npos || stop == 1) run_.fail("malformed format field");
      const std::string_view name = run_.keep(path.substr(1, stop - 1));
      int64_t index = 0;
      if (dot)
        v = get_attribute(run_, v, name);
      else
        v = get_item(run_, v, is_digit_char(name[0]) && parse_integer(name, index) ? Value(index) : Value(name));
      path.remove_prefix(dot ? stop : stop + 1);
    }
    return v;
  }

  Run& run_;
  const Call& call_;
  int64_t automatic_ = 0;
  bool manual_ = false;
};

/// The conversions of a %-format.
class Percent {
 public:
  Percent(Run& run, const Value& values) : run_(run), values_(values) {
    if (values.is(Kind::tuple))
      rest_ = elements(run, values);
    else
      rest_ = {&values_, 1};
  }

  void append(Text& out, std::string_view format) {
    while (!format.empty()) {
      const size_t end = std::min(format.find('%'), format.size());
      out << format.substr(0, end);
      format.remove_prefix(end);
      if (!format.empty()) append_conversion(out, format);
    }
    const bool mapping = values_.is(Kind::dict) || values_.is(Kind::list) || values_.is(Kind::undefined);
    if (!rest_.empty() && !mapping) run_.fail("not all arguments converted during string formatting");
  }

 private:
  Value next() {
    if (rest_.empty()) run_.fail("not enough arguments for format string");
    const Value v = rest_.front();
    rest_ = rest_.subspan(1);
    return v;
  }

  int64_t number(std::string_view& format, int64_t limit) {
    if (format.empty() || format[0] != '*') return take_number(run_, format, limit);
    format.remove_prefix(1);
    const Value v = next();
    if (!v.is_integral() || v.as_int() < 0 || v.as_int() > limit) run_.fail("* wants a small int");
    return v.as_int();
  }

  Value take_value(std::string_view& format) {
    if (format.empty() || format[0] != '(') return {};
    const size_t close = format.find(')');
    if (close == std::string_view::npos) run_.fail("incomplete format key");
    if (!values_.is(Kind::dict)) run_.fail("format requires a mapping");
    const std::string_view key = run_.keep(format.substr(1, close - 1));
    const Value* found = find_key(run_, *values_.dict, key);
    if (found == nullptr) run_.fail(cat("there is no key '", key, "' to format"));
    format.remove_prefix(close + 1);
    rest_ = {};
    return *found;
  }

  void append_conversion(Text& out, std::string_view& format) {
    format.remove_prefix(1);
    const bool keyed = !format.empty() && format[0] == '(';
    Value v = take_value(format);
    Spec spec;
    bool zero = false;
    for (; !format.empty() && std::string_view("-+ #0").find(format[0]) != std::string_view::npos;
         format.remove_prefix(1)) {
      if (format[0] == '-') spec.align = '<';
      if (format[0] == '+' || (format[0] == ' ' && spec.sign == '-')) spec.sign = format[0];
      if (format[0] == '#') spec.alternate = true;
      if (format[0] == '0') zero = true;
    }
    spec.width = number(format, kMaxWidth);
    if (!format.empty() && format[0] == '.') {
      format.remove_prefix(1);
      spec.precision = number(format, kMaxPrecision);
    }
    if (format.empty()) run_.fail("incomplete format");
    const char type = format[0];
    format.remove_prefix(1);
    if (type == '%') {
      out << "%";
      return;
    }
    if (!keyed) v = next();
    if (type == 's' || type == 'r') return append_text(out, spec, v, type);
    if (zero && spec.align != '<') {
      spec.align = '=';
      spec.fill = "0";
    }
    append_number(out, spec, v, type);
  }

  void append_text(Text& out, Spec spec, const Value& v, char type) {
    if (spec.align == 0) spec.align = '>';
    Text text(run_);
    if (type == 's')
      append_str(text, v);
    else
      append_repr(text, v);
    append_string(out, spec, text.view());
  }

  void append_number(Text& out, Spec& spec, const Value& v, char type) {
    const bool integral = std::string_view("diuxXo").find(type) != std::string_view::npos;
    if (!integral && std::string_view("eEfFgG").find(type) == std::string_view::npos) {
      run_.fail(cat("unsupported format character '", std::string(1, type), "'"));
    }
    const bool whole = type == 'd' || type == 'i' || type == 'u';
    if (!v.is_number() || (integral && !whole && v.is(Kind::real))) {
      require_defined(run_, v);
      run_.fail(cat("%", std::string(1, type), " format: a number is required, not ", type_name(v)));
    }
    if (!integral) {
      spec.type = type;
      return append_real(run_, out, spec, v.as_real());
    }
    if (v.is(Kind::real) && !(std::abs(v.real) < 0x1p63)) run_.fail("cannot convert the float to an integer");
    const int64_t n = v.is(Kind::real) ? static_cast<int64_t>(v.real) : v.as_int();
    spec.type = whole ? 'd' : type;
    std::string body = based(n < 0 ? uint64_t{0} - static_cast<uint64_t>(n) : static_cast<uint64_t>(n), spec.type);
    if (static_cast<int64_t>(body.size()) < spec.precision) {
      body.insert(0, static_cast<size_t>(spec.precision) - body.size(), '0');
    }
    std::string prefix = sign_of(n < 0, spec.sign);
    if (spec.alternate && !whole) prefix += std::string("0") + type;
    append_padded(out, spec, prefix, body, '>');
  }

  Run& run_;
  const Value values_;
  std::span<const Value> rest_;
};

}  // namespace

Value format_percent(Run& run, std::string_view format, const Value& values) {
  Text out(run);
  Percent(run, values).append(out, format);
  return out.value();
}

Value format_braces(Run& run, std::string_view format, const Call& call) {
  Text out(run);
  Braces(run, call).append(out, format, 1);
  return out.value();
}

}  // namespace trireme::jinja
