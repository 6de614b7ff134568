// yaml-cpp's events feed our tree, so that every value keeps its line; the scalars' types are decided here.
#include "base/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kLongestSimpleKey = 1000;     // YAML 1.2, 7.4: at most 1024 before the colon
constexpr size_t kMaxBytes = size_t{1} << 24;  // recipes are small; yaml-cpp takes its time

[[noreturn]] void fail(std::string_view where, int line, const std::string& reason) {
  throw ConfigError(cat(where, ":", line, ": ", reason));
}

bool is_numeric_start(std::string_view text) {
  return !text.empty() && text.find_first_of("0123456789") != std::string_view::npos &&
         std::string_view("+-.0123456789").find(text[0]) != std::string_view::npos;
}

/// A plain (unquoted) scalar by the core schema.
Json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  if (text == ".inf" || text == "+.inf") return std::numeric_limits<double>::infinity();
  if (text == "-.inf") return -std::numeric_limits<double>::infinity();
  int64_t integer = 0;
  double real = 0;
  if (is_numeric_start(text)) {
    if (parse_integer(text, integer)) return integer;
    if (parse_real(text, real)) return real;
  }
  return text;
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view where) : where_(where) {}
  Json take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(started_, true)) fail(where_, mark.line + 1, "a second document starts here, expected one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { scalar(mark, {}, ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(where_, mark.line + 1, "aliases (*name) are not supported; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& text) override {
    // yaml-cpp's tags: "?" for a plain scalar, "!" for a quoted one.
    if (tag == "?" || tag.empty()) return scalar(mark, plain_scalar(text), text);
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return scalar(mark, text, text);
    refuse_tag(mark, tag);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, Json::array());
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Json::object());
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  struct Open {
    Json* container;
    std::set<std::string> keys;
    bool key_next = true;  // of a mapping: the next event is a key
  };

  [[noreturn]] void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    fail(where_, mark.line + 1, cat("the tag ", tag, " is not supported"));
  }

  bool at_key() const { return !open_.empty() && open_.back().container->is_object() && open_.back().key_next; }

  void scalar(const YAML::Mark& mark, Json value, const std::string& text) {
    if (!at_key()) {
      put(mark, std::move(value));
      return;
    }
    Open& map = open_.back();
    if (!map.keys.insert(text).second)
      fail(where_, mark.line + 1, cat("the key '", text, "' appears twice in this mapping"));
    map.container->members().emplace_back(text, Json());
    map.container->members().back().second.line = mark.line + 1;
    map.key_next = false;
  }

  void open(const YAML::Mark& mark, const std::string& tag, Json container) {
    if (tag != "?" && tag != "!" && !tag.empty()) refuse_tag(mark, tag);
    if (at_key()) fail(where_, mark.line + 1, "a key must be a plain word or a string");
    if (open_.size() == kMaxDepth) fail(where_, mark.line + 1, cat("nested deeper than ", kMaxDepth, " levels"));
    open_.push_back({put(mark, std::move(container)), {}});
  }

  Json* put(const YAML::Mark& mark, Json value) {
    value.line = mark.line + 1;
    Json* place = &root_;
    if (!open_.empty() && open_.back().container->is_array()) {
      place = &open_.back().container->items().emplace_back();
    } else if (!open_.empty()) {
      place = &open_.back().container->members().back().second;
      value.line = place->line;  // its key's: a block begins a line below it
      open_.back().key_next = true;
    }
    *place = std::move(value);
    return place;
  }

  std::string_view where_;
  Json root_;
  std::vector<Open> open_;
  bool started_ = false;
};

/// What yaml-cpp would mend or misread in silence: bytes that are not UTF-8, and control characters (it
/// takes 0x04 for the end of the text).
void check_characters(std::string_view text, std::string_view where) {
  const auto line_of = [&](size_t at) {
    return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  const size_t invalid = find_invalid_utf8(text);
  if (invalid != std::string_view::npos) fail(where, line_of(invalid), cat("byte ", invalid, " is not UTF-8"));
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<uint8_t>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
  if (control != text.end()) {
    const auto at = static_cast<size_t>(control - text.begin());
    fail(where, line_of(at), cat("byte ", at, " is a control character (", static_cast<int>(*control), ")"));
  }
}

/// Text that plain_scalar() gives back as it is and that has no meaning in YAML's grammar.
bool is_plain(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '/' || c == '-';
  };
  return !text.empty() && text[0] != '-' && text.size() <= 256 && std::all_of(text.begin(), text.end(), plain) &&
         plain_scalar(text).is_string() && text != "...";
}

std::string dump_text(const std::string& text) { return is_plain(text) ? text : Json(text).dump(); }

std::string dump_scalar(const Json& value) {
  if (value.is_string()) return dump_text(value.as_string());
  if (value.kind() == Json::Kind::real) {
    const double real = value.as_real();
    if (std::isnan(real)) return ".nan";
    if (std::isinf(real)) return real > 0 ? ".inf" : "-.inf";
  }
  return value.dump();  // also [] and {}
}

void dump_block(std::string& out, const Json& value, size_t indent);

/// What follows a "key:" or a "-": a scalar on the same line, or a block below it.
void dump_entry(std::string& out, const Json& value, size_t indent) {
  if ((value.is_array() || value.is_object()) && value.size() > 0) {
    out += '\n';
    dump_block(out, value, indent);
  } else {
    out += cat(" ", dump_scalar(value), "\n");
  }
}

void dump_block(std::string& out, const Json& value, size_t indent) {
  if (value.is_array()) {
    for (const Json& item : value.items()) {
      out += std::string(indent, ' ') + "-";
      dump_entry(out, item, indent + 2);
    }
    return;
  }
  for (const auto& [key, member] : value.members()) {
    const std::string margin(indent, ' '), name = dump_text(key);
    out += name.size() <= kLongestSimpleKey ? cat(margin, name, ":") : cat(margin, "? ", name, "\n", margin, ":");
    dump_entry(out, member, indent + 2);
  }
}

}  // namespace

Json parse_yaml(std::string_view text, std::string_view where) {
  if (text.size() > kMaxBytes)
    throw ConfigError(cat(where, ": ", text.size(), " bytes of YAML, at most ", kMaxBytes, " are read"));
  check_characters(text, where);
  TreeBuilder builder(where);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const YAML::Exception& e) {
    fail(where, e.mark.line + 1, e.msg);
  }
  return builder.take();
}

std::string dump_yaml(const Json& value) {
  std::string out;
  if ((value.is_array() || value.is_object()) && value.size() > 0)
    dump_block(out, value, 0);
  else
    out = dump_scalar(value) + "\n";
  return out;
}

}  // namespace trireme
