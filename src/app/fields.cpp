#include "app/fields.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool within(double value, const Bounds& bounds) {
  return (bounds.open_low ? value > bounds.low : value >= bounds.low) &&
         (bounds.open_high ? value < bounds.high : value <= bounds.high);
}

std::string describe(std::string_view kind, const Bounds& bounds) {
  std::string text(kind);
  if (std::isfinite(bounds.low)) text += cat(bounds.open_low ? ", above " : ", at least ", number(bounds.low));
  if (std::isfinite(bounds.high)) {
    text +=
        cat(std::isfinite(bounds.low) ? " and " : ", ", bounds.open_high ? "below " : "at most ", number(bounds.high));
  }
  return text;
}

[[noreturn]] void refuse(const std::string& expected, const Json& got) {
  throw ConfigError(cat("expected ", expected, "; got ", got.is_null() ? "nothing" : got.dump()));
}

bool is_whole(double value) { return value == std::floor(value) && std::abs(value) <= 0x1p53; }

double checked_real(const Json& json, const Bounds& bounds, const std::string& expected) {
  if (!json.is_number() || !std::isfinite(json.as_real()) || !within(json.as_real(), bounds)) refuse(expected, json);
  return json.as_real();
}

}  // namespace

Bounds at_least(double low) { return {low, kInfinity}; }
Bounds above(double low) { return {low, kInfinity, true}; }

Field flag_field(std::string key, bool& member, std::string doc) {
  Field field{std::move(key), "true or false", std::move(doc)};
  field.set = [&member](const Json& json) {
    if (json.kind() != Json::Kind::boolean) refuse("true or false", json);
    member = json.as_bool();
  };
  field.get = [&member] { return Json(member); };
  return field;
}

Field integer_field(std::string key, int64_t& member, Bounds bounds, std::string doc) {
  const std::string expected = describe("integer", bounds);
  Field field{std::move(key), expected, std::move(doc)};
  field.set = [&member, bounds, expected](const Json& json) {
    const bool whole = json.kind() == Json::Kind::integer || (json.is_number() && is_whole(json.as_real()));
    if (!whole || !within(json.as_real(), bounds)) refuse(expected, json);
    member = json.as_integer();
  };
  field.get = [&member] { return Json(member); };
  return field;
}

Field real_field(std::string key, double& member, Bounds bounds, std::string doc) {
  const std::string expected = describe("number", bounds);
  Field field{std::move(key), expected, std::move(doc)};
  field.set = [&member, bounds, expected](const Json& json) { member = checked_real(json, bounds, expected); };
  field.get = [&member] { return Json(member); };
  return field;
}

Field text_field(std::string key, std::string& member, std::string doc) {
  Field field{std::move(key), "text", std::move(doc), true};
  field.set = [&member](const Json& json) {
    if (!json.is_string()) refuse("text (in quotes where it looks like a number or a list)", json);
    member = json.as_string();
  };
  field.get = [&member] { return Json(member); };
  return field;
}

Field texts_field(std::string key, std::vector<std::string>& members, std::string doc) {
  Field field{std::move(key), "a list of texts", std::move(doc)};
  field.set = [&members](const Json& json) {
    bool good = json.is_array();
    for (size_t i = 0; good && i < json.size(); ++i) good = json.items()[i].is_string();
    if (!good) refuse("a list of texts, such as [data/a:0.7, data/b:0.3]", json);
    members.clear();
    for (const Json& item : json.items()) members.push_back(item.as_string());
  };
  field.get = [&members] {
    Json list = Json::array();
    for (const std::string& member : members) list.push_back(Json(member));
    return list;
  };
  return field;
}

Field reals_field(std::string key, std::span<double> members, Bounds bounds, std::string doc) {
  const std::string expected = cat("a list of ", members.size(), " numbers, each ", describe("number", bounds));
  Field field{std::move(key), expected, std::move(doc)};
  field.set = [members, bounds, expected](const Json& json) {
    if (!json.is_array() || json.size() != members.size()) refuse(expected, json);
    for (size_t i = 0; i < members.size(); ++i) members[i] = checked_real(json.items()[i], bounds, expected);
  };
  field.get = [members] {
    Json list = Json::array();
    for (const double member : members) list.push_back(Json(member));
    return list;
  };
  return field;
}

Field choice_field(std::string key, std::span<const std::string_view> names, std::function<void(size_t)> set,
                   std::function<size_t()> get, std::string doc) {
  std::string value;
  for (const std::string_view name : names) value += cat(value.empty() ? "" : " | ", name);
  Field field{std::move(key), value, std::move(doc), true};
  field.set = [names, value, set = std::move(set)](const Json& json) {
    if (!json.is_string()) refuse(value, json);
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == json.as_string()) return set(i);
    }
    throw ConfigError(cat("unknown value '", json.as_string(), "'", did_you_mean(json.as_string(), names)));
  };
  field.get = [names, get = std::move(get)] { return Json(names[get()]); };
  return field;
}

}  // namespace trireme
