// A place in a tokenizer.json: a value and the path to it, for errors that say where and what is supported.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace trireme {

class JsonNode {
 public:
  JsonNode(const Json& json, std::string path) : json_(&json), path_(std::move(path)) {}

  const Json& json() const { return *json_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return json_->is_null(); }
  /// Whether the member is there and not null.
  bool has(std::string_view key) const {
    const Json* value = json_->is_object() ? json_->find(key) : nullptr;
    return value != nullptr && !value->is_null();
  }

  JsonNode at(std::string_view key) const {
    require(Json::Kind::object);
    const Json* value = json_->find(key);
    if (value == nullptr) refuse(cat("has no '", key, "'"));
    return {*value, path_.empty() ? std::string(key) : cat(path_, ".", key)};
  }
  std::vector<JsonNode> items() const {
    require(Json::Kind::array);
    std::vector<JsonNode> out;
    for (const Json& item : json_->items()) out.push_back({item, cat(path_, "[", out.size(), "]")});
    return out;
  }

  const std::string& text() const {
    require(Json::Kind::string);
    return json_->as_string();
  }
  const std::string& text(std::string_view key) const { return at(key).text(); }
  bool flag(std::string_view key, bool absent) const {
    if (!has(key)) return absent;
    const JsonNode node = at(key);
    node.require(Json::Kind::boolean);
    return node.json_->as_bool();
  }
  bool required_flag(std::string_view key) const {
    at(key).require(Json::Kind::boolean);
    return flag(key, false);
  }
  int64_t integer() const {
    require(Json::Kind::integer);
    return json_->as_integer();
  }
  double real() const {
    if (!json_->is_number()) refuse(cat("is ", kind_name(json_->kind()), ", expected a number"));
    return json_->as_real();
  }
  const std::string& type() const { return text("type"); }

  [[noreturn]] void refuse(std::string_view why) const {
    throw ConfigError(cat("line ", json_->line, ": ", path_.empty() ? "the file" : path_, " ", why));
  }
  [[noreturn]] void refuse_type(std::string_view supported) const {
    at("type").refuse(cat("is '", type().substr(0, 60), "', which is not supported; supported are ", supported));
  }
  void require(Json::Kind kind) const {
    if (json_->kind() != kind) refuse(cat("is ", kind_name(json_->kind()), ", expected ", kind_name(kind)));
  }

 private:
  const Json* json_;
  std::string path_;
};

}  // namespace trireme
