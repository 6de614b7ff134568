#include "chat/print.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"
#include "chat/operations.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

void append_hex(Text& out, uint32_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i) out << std::string_view("0123456789abcdef").substr(value >> (4 * i) & 15, 1);
}

void append_quoted(Text& out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos,
             has_double = text.find('"') != std::string_view::npos;
  const std::string_view quote = has_single && !has_double ? "\"" : "'";
  out << quote;
  for (CodePoints at(text); at.next();) {
    const uint32_t c = at.point();
    if (at.bytes() == quote || c == '\\') {
      out << "\\" << at.bytes();
    } else if (c == '\n') {
      out << "\\n";
    } else if (c == '\r') {
      out << "\\r";
    } else if (c == '\t') {
      out << "\\t";
    } else if (is_printable(c)) {
      out << at.bytes();
    } else {
      out << (c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U");
      append_hex(out, c, c < 0x100 ? 2 : c < 0x10000 ? 4 : 8);
    }
  }
  out << quote;
}

void append_elements(Text& out, const Value* data, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0) out << ", ";
    append_repr(out, data[i]);
  }
}

void append_entries(Text& out, const Entry* data, int64_t size) {
  out << "{";
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0) out << ", ";
    append_repr(out, data[i].key);
    out << ": ";
    append_repr(out, data[i].value);
  }
  out << "}";
}

void append_range(Text& out, const Sequence& s) {
  out << cat("range(", s.start, ", ", s.stop);
  if (s.step != 1) out << cat(", ", s.step);
  out << ")";
}

void append_json_string(Text& out, std::string_view text, bool ascii) {
  out << "\"";
  for (CodePoints at(text); at.next();) {
    const uint32_t c = at.point();
    if (c == '"' || c == '\\') {
      out << "\\" << at.bytes();
    } else if (c >= 0x20 && (c < 0x7F || !ascii)) {
      out << at.bytes();
    } else if (c < 0x20 && std::string_view("\n\r\t\f\b").find(static_cast<char>(c)) != std::string_view::npos) {
      out << "\\" << (c == '\n' ? "n" : c == '\r' ? "r" : c == '\t' ? "t" : c == '\f' ? "f" : "b");
    } else if (c < 0x10000) {
      out << "\\u";
      append_hex(out, c, 4);
    } else {
      out << "\\u";
      append_hex(out, 0xD800 + ((c - 0x10000) >> 10), 4);
      out << "\\u";
      append_hex(out, 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
    }
  }
  out << "\"";
}

/// A float as json.dumps has it.
std::string json_real(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return real_text(value);
}

class JsonWriter {
 public:
  JsonWriter(Text& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const Value& v, int level) {
    const Nested nested(out_.run());
    switch (v.kind) {
      case Kind::none: out_ << "null"; return;
      case Kind::boolean: out_ << (v.boolean ? "true" : "false"); return;
      case Kind::integer: out_ << std::to_string(v.integer); return;
      case Kind::real: out_ << json_real(v.real); return;
      case Kind::string: append_json_string(out_, v.text, style_.ascii); return;
      case Kind::list:
      case Kind::tuple: write_list(*v.items, level); return;
      case Kind::dict: write_dict(*v.dict, level); return;
      default: out_.run().fail(cat("object of type ", type_name(v), " is not JSON serializable"));
    }
  }

 private:
  void new_line(int level) {
    if (!style_.indented) return;
    out_ << "\n";
    for (int i = 0; i < level; ++i) out_ << style_.indent;
  }

  void write_list(const Sequence& s, int level) {
    out_ << "[";
    for (int64_t i = 0; i < s.size; ++i) {
      if (i > 0) out_ << style_.comma;
      new_line(level + 1);
      write(s.data[i], level + 1);
    }
    if (s.size > 0) new_line(level);
    out_ << "]";
  }

  void write_key(const Value& key) {
    if (key.is(Kind::string)) return append_json_string(out_, key.text, style_.ascii);
    if (!key.is_number() && !key.is(Kind::none)) {
      out_.run().fail(cat("keys must be str, int, float, bool or None, not ", type_name(key)));
    }
    out_ << "\"";
    write(key, 0);
    out_ << "\"";
  }

  void write_dict(const Dict& dict, int level) {
    std::vector<const Entry*> order;
    out_.run().work(dict.size);
    for (int64_t i = 0; i < dict.size; ++i) order.push_back(&dict.data[i]);
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(),
                       [&](const Entry* a, const Entry* b) { return compare(out_.run(), Op::less, a->key, b->key); });
    }
    out_ << "{";
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out_ << style_.comma;
      new_line(level + 1);
      write_key(order[i]->key);
      out_ << style_.colon;
      write(order[i]->value, level + 1);
    }
    if (!order.empty()) new_line(level);
    out_ << "}";
  }

  Text& out_;
  const JsonStyle& style_;
};

}  // namespace

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  CHECK(error == std::errc(), "the buffer is large enough");
  std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));  // -d.ddde-xx
  std::string out;
  if (text[0] == '-') {
    out = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  std::string_view power = text.substr(e + 1);
  if (power[0] == '+') power.remove_prefix(1);
  int64_t exponent = 0;
  CHECK(parse_integer(power, exponent), "an exponent is a number");
  std::string digits(text.substr(0, 1));
  if (e > 1) digits += text.substr(2, e - 2);
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out += cat(".", digits.substr(1));
    const std::string size = std::to_string(std::abs(exponent));
    return out + (exponent < 0 ? "e-" : "e+") + (size.size() < 2 ? "0" : "") + size;
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void append_str(Text& out, const Value& v) {
  if (v.is(Kind::string)) {
    out << v.text;
  } else if (!v.is(Kind::undefined)) {
    append_repr(out, v);
  }
}

void append_repr(Text& out, const Value& v) {
  const Nested nested(out.run());
  switch (v.kind) {
    case Kind::undefined: out << "Undefined"; return;
    case Kind::none: out << "None"; return;
    case Kind::boolean: out << (v.boolean ? "True" : "False"); return;
    case Kind::integer: out << std::to_string(v.integer); return;
    case Kind::real: out << real_text(v.real); return;
    case Kind::string: append_quoted(out, v.text); return;
    case Kind::list:
      out << "[";
      append_elements(out, v.items->data, v.items->size);
      out << "]";
      return;
    case Kind::tuple:
      out << "(";
      append_elements(out, v.items->data, v.items->size);
      out << (v.items->size == 1 ? ",)" : ")");
      return;
    case Kind::view:
      out << v.items->name << "([";
      append_elements(out, v.items->data, v.items->size);
      out << "])";
      return;
    case Kind::range: append_range(out, *v.items); return;
    case Kind::generator: out << "<generator object>"; return;
    case Kind::dict: append_entries(out, v.dict->data, v.dict->size); return;
    case Kind::space:
      out << "<Namespace ";
      append_entries(out, v.space->data, v.space->size);
      out << ">";
      return;
    case Kind::loop: out << cat("<LoopContext ", v.loop->index0 + 1, "/", v.loop->size, ">"); return;
    case Kind::callable: out << "<function>"; return;
  }
}

std::string_view as_text(Run& run, const Value& v) {
  if (v.is(Kind::string)) return v.text;
  Text out(run);
  append_str(out, v);
  return run.keep(out.view());
}

std::string repr_text(Run& run, const Value& v) {
  Text out(run);
  append_repr(out, v);
  return out.take();
}

void append_json(Text& out, const Value& v, const JsonStyle& style) { JsonWriter(out, style).write(v, 0); }

}  // namespace trireme::jinja
