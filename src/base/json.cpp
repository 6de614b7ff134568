// Parsing is nlohmann's SAX interface feeding our tree: no second tree is built, and the text is read
// through an iterator that shares its position with the handler, which so knows offsets and lines.
#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kQuotedBytes = 200;  // of a parser's message, which may hold a whole hostile token

[[noreturn]] void wrong_kind(const Json& value, std::string_view wanted) {
  throw ConfigError(cat(value.line > 0 ? cat("line ", value.line, ": ") : "", "expected ", wanted, ", found ",
                        kind_name(value.kind())));
}

/// Reads text for nlohmann's lexer; all copies share one position.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char** at;
  const char* end;  // the past-the-end cursor has at == nullptr

  reference operator*() const { return **at; }
  Cursor& operator++() {
    ++*at;
    return *this;
  }
  bool operator==(const Cursor& other) const {
    return (at == nullptr || *at == end) == (other.at == nullptr || *other.at == other.end);
  }
};

/// Builds the tree. Every callback that nlohmann's parser makes; true means go on.
class TreeBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  TreeBuilder(std::string_view text, std::string_view where)
      : where_(where), begin_(text.data()), at_(begin_), counted_(begin_) {}

  const char** position() { return &at_; }
  Json take() { return std::move(root_); }

  bool null() { return put({}), true; }
  bool boolean(bool value) { return put(value), true; }
  bool number_integer(number_integer_t value) { return put(static_cast<int64_t>(value)), true; }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return put(static_cast<double>(value)), true;
    return put(static_cast<int64_t>(value)), true;
  }
  bool number_float(number_float_t value, const string_t&) { return put(value), true; }
  bool string(string_t& value) { return put(std::move(value)), true; }
  bool binary(binary_t&) { return false; }  // of binary formats only
  bool key(string_t& name) {
    open_.back()->members().emplace_back(std::move(name), Json());
    return true;
  }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_array() { return open_.pop_back(), true; }

  /// Keys are compared once the object is complete: sorting them is fast for vocabularies, and no
  /// choice of keys can make it slow.
  bool end_object() {
    std::vector<std::string_view> keys;
    keys.reserve(open_.back()->size());
    for (const auto& [name, value] : open_.back()->members()) keys.push_back(name);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end())
      fail(cat("the key ", Json(twice->substr(0, kQuotedBytes)).dump(), " appears twice in the object that ends here"));
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) {
    std::string_view reason = e.what();  // "[json.exception.x.1] parse error at line 1, column 2: reason"
    const size_t colon = reason.find(": ");
    if (colon != std::string_view::npos) reason.remove_prefix(colon + 2);
    fail_at(position, std::string(reason.substr(0, kQuotedBytes)));
  }

 private:
  [[noreturn]] void fail_at(size_t offset, const std::string& reason) const {
    throw IoError(cat(where_, ": byte ", offset, ": ", reason));
  }
  [[noreturn]] void fail(const std::string& reason) const { fail_at(static_cast<size_t>(at_ - begin_), reason); }

  /// The line of the token just read. Its last byte is left out: after a number the lexer has read one more.
  int current_line() {
    const char* end = std::max(counted_, at_ - 1);
    line_ += static_cast<int>(std::count(counted_, end, '\n'));
    counted_ = end;
    return line_;
  }

  Json* put(Json value) {
    value.line = current_line();
    Json* place = &root_;
    if (!open_.empty() && open_.back()->is_array())
      place = &open_.back()->items().emplace_back();
    else if (!open_.empty())
      place = &open_.back()->members().back().second;
    *place = std::move(value);
    return place;
  }

  bool open(Json container) {
    if (open_.size() == kMaxDepth) fail(cat("nested deeper than ", kMaxDepth, " levels"));
    // The pointers on the stack stay valid: a container grows only while it is the innermost one.
    open_.push_back(put(std::move(container)));
    return true;
  }

  std::string_view where_;
  const char* begin_;
  const char* at_;
  const char* counted_;  // newlines before here are in line_
  int line_ = 1;
  Json root_;
  std::vector<Json*> open_;
};

void dump_string(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const int length = utf8_length(text, i);
    if (length == 0) {
      utf8_append(out, 0xFFFD);
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      out += {'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]};
    } else {
      out += text.substr(i, static_cast<size_t>(length));
    }
    i += static_cast<size_t>(std::max(length, 1));
  }
  out += '"';
}

void dump_real(std::string& out, double value) {
  if (!std::isfinite(value)) {  // JSON has no such number
    out += "null";
    return;
  }
  const std::string digits = number(value);
  out += digits;
  if (digits.find_first_of(".e") == std::string::npos) out += ".0";  // reads back as a real
}

void dump_value(std::string& out, const Json& value, int indent, int depth) {
  const auto new_line = [&](int level) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(indent * level), ' ');
  };
  switch (value.kind()) {
    case Json::Kind::null: out += "null"; return;
    case Json::Kind::boolean: out += value.as_bool() ? "true" : "false"; return;
    case Json::Kind::integer: out += std::to_string(value.as_integer()); return;
    case Json::Kind::real: dump_real(out, value.as_real()); return;
    case Json::Kind::string: dump_string(out, value.as_string()); return;
    case Json::Kind::array: {
      out += '[';
      bool first = true;
      for (const Json& item : value.items()) {
        if (!std::exchange(first, false)) out += ',';
        new_line(depth + 1);
        dump_value(out, item, indent, depth + 1);
      }
      if (!first) new_line(depth);
      out += ']';
      return;
    }
    case Json::Kind::object: {
      out += '{';
      bool first = true;
      for (const auto& [name, member] : value.members()) {
        if (!std::exchange(first, false)) out += ',';
        new_line(depth + 1);
        dump_string(out, name);
        out += indent < 0 ? ":" : ": ";
        dump_value(out, member, indent, depth + 1);
      }
      if (!first) new_line(depth);
      out += '}';
      return;
    }
  }
}

}  // namespace

std::string_view kind_name(Json::Kind kind) {
  switch (kind) {
    case Json::Kind::null: return "null";
    case Json::Kind::boolean: return "true or false";
    case Json::Kind::integer: return "an integer";
    case Json::Kind::real: return "a number";
    case Json::Kind::string: return "a string";
    case Json::Kind::array: return "a list";
    case Json::Kind::object: return "a mapping";
  }
  return "?";
}

bool Json::as_bool() const {
  if (kind_ != Kind::boolean) wrong_kind(*this, kind_name(Kind::boolean));
  return integer_ != 0;
}

int64_t Json::as_integer() const {
  if (kind_ == Kind::integer) return integer_;
  if (kind_ != Kind::real || std::trunc(real_) != real_ || std::abs(real_) >= 0x1p63)
    wrong_kind(*this, kind_name(Kind::integer));
  return static_cast<int64_t>(real_);
}

double Json::as_real() const {
  if (kind_ == Kind::integer) return static_cast<double>(integer_);
  if (kind_ != Kind::real) wrong_kind(*this, kind_name(Kind::real));
  return real_;
}

const std::string& Json::as_string() const {
  if (kind_ != Kind::string) wrong_kind(*this, kind_name(Kind::string));
  return string_;
}

const std::vector<Json>& Json::items() const {
  if (kind_ != Kind::array) wrong_kind(*this, kind_name(Kind::array));
  return items_;
}

const std::vector<Json::Member>& Json::members() const {
  if (kind_ != Kind::object) wrong_kind(*this, kind_name(Kind::object));
  return members_;
}

std::vector<Json>& Json::items() { return const_cast<std::vector<Json>&>(std::as_const(*this).items()); }
std::vector<Json::Member>& Json::members() { return const_cast<std::vector<Member>&>(std::as_const(*this).members()); }

const Json* Json::find(std::string_view key) const {
  const auto found = std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.first == key; });
  return found == members_.end() ? nullptr : &found->second;
}

Json* Json::find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }

const Json& Json::at(std::string_view key) const {
  members();
  if (const Json* found = find(key)) return *found;
  throw ConfigError(cat(line > 0 ? cat("line ", line, ": ") : "", "the key '", key, "' is missing"));
}

Json& Json::operator[](std::string_view key) {
  if (kind_ == Kind::null) kind_ = Kind::object;
  members();
  if (Json* found = find(key)) return *found;
  return members_.emplace_back(key, Json()).second;
}

void Json::push_back(Json value) {
  if (kind_ == Kind::null) kind_ = Kind::array;
  items().push_back(std::move(value));
}

bool Json::erase(std::string_view key) {
  return std::erase_if(members(), [&](const Member& m) { return m.first == key; }) > 0;
}

std::string Json::dump(int indent) const {
  std::string out;
  dump_value(out, *this, indent, 0);
  return out;
}

Json Json::parse(std::string_view text, std::string_view where) {
  TreeBuilder builder(text, where);
  const char* end = text.data() + text.size();
  nlohmann::json::sax_parse(Cursor{builder.position(), end}, Cursor{nullptr, end}, &builder);
  return builder.take();
}

Json read_json(const std::string& path) {
  const MappedFile file(path);
  return Json::parse(file.text(), path);
}

}  // namespace trireme
