// One tree of values for JSON, YAML and recipes. Objects keep the order in which keys were written and
// each value the line it came from, so that errors can say where. nlohmann/json and yaml-cpp do the
// parsing in json.cpp and yaml.cpp and are seen nowhere else.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

class Json {
 public:
  enum class Kind { null, boolean, integer, real, string, array, object };
  using Member = std::pair<std::string, Json>;

  Json() = default;
  Json(bool value) : kind_(Kind::boolean), integer_(value) {}                            // NOLINT
  Json(int value) : kind_(Kind::integer), integer_(value) {}                             // NOLINT
  Json(int64_t value) : kind_(Kind::integer), integer_(value) {}                         // NOLINT
  Json(uint64_t value) : kind_(Kind::integer), integer_(static_cast<int64_t>(value)) {}  // NOLINT
  Json(double value) : kind_(Kind::real), real_(value) {}                                // NOLINT
  Json(std::string value) : kind_(Kind::string), string_(std::move(value)) {}            // NOLINT
  Json(std::string_view value) : Json(std::string(value)) {}                             // NOLINT
  Json(const char* value) : Json(std::string(value)) {}                                  // NOLINT

  static Json array() { return of(Kind::array); }
  static Json object() { return of(Kind::object); }

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_number() const { return kind_ == Kind::integer || kind_ == Kind::real; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_array() const { return kind_ == Kind::array; }
  bool is_object() const { return kind_ == Kind::object; }

  /// Typed access; ConfigError naming the line, the wanted and the found kind where it does not fit.
  /// as_real takes integers too; as_integer takes reals without a fraction (6e4).
  bool as_bool() const;
  int64_t as_integer() const;
  double as_real() const;
  const std::string& as_string() const;
  const std::vector<Json>& items() const;
  const std::vector<Member>& members() const;
  std::vector<Json>& items();
  std::vector<Member>& members();

  size_t size() const { return kind_ == Kind::object ? members_.size() : items_.size(); }

  /// The member called `key`, or nullptr. A linear search: large objects are read by walking members().
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  /// The member called `key`; ConfigError that names the key where there is none.
  const Json& at(std::string_view key) const;
  /// The member called `key`, made if absent (a null value becomes an object first).
  Json& operator[](std::string_view key);
  void push_back(Json value);
  bool erase(std::string_view key);

  int line = 0;  // in the source text, from 1; 0: not from a text

  /// Compact on one line, or with `indent` spaces a level. Strings that are not UTF-8 are written with
  /// U+FFFD for the bytes that are not.
  std::string dump(int indent = -1) const;

  /// Parses RFC 8259 text. IoError naming `where` and the byte offset; nesting deeper than 64 and
  /// duplicate keys are refused.
  static Json parse(std::string_view text, std::string_view where);

 private:
  static Json of(Kind kind) {
    Json j;
    j.kind_ = kind;
    return j;
  }

  Kind kind_ = Kind::null;
  int64_t integer_ = 0;
  double real_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

std::string_view kind_name(Json::Kind kind);

/// Reads a JSON file. IoError where it is missing, unreadable or malformed.
Json read_json(const std::string& path);

}  // namespace trireme
