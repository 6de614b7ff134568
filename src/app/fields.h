// One row per recipe key: its name, what it means, which values fit, and the member it sets. Reading, overriding,
// printing and documenting a recipe all walk the same rows, so a key cannot be known to one and not to another.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace trireme {

/// A row of the table, bound to the member of one RunConfig, which must outlive it.
struct Field {
  std::string key;                       // "optimizer.lr"
  std::string value;                     // what fits, for people: "integer, at least 1"
  std::string doc;                       // one sentence
  bool text = false;                     // the value is free text: on the command line it needs no quotes
  std::function<void(const Json&)> set;  // ConfigError that says what was expected and what came
  std::function<Json()> get;

  std::string_view section() const { return std::string_view(key).substr(0, key.find('.')); }
  std::string_view name() const { return std::string_view(key).substr(key.find('.') + 1); }
};

/// Bounds of a number; an open bound is not itself allowed.
struct Bounds {
  double low, high;
  bool open_low = false, open_high = false;
};

Bounds at_least(double low);
Bounds above(double low);

Field flag_field(std::string key, bool& member, std::string doc);
Field integer_field(std::string key, int64_t& member, Bounds bounds, std::string doc);
Field real_field(std::string key, double& member, Bounds bounds, std::string doc);
Field text_field(std::string key, std::string& member, std::string doc);
/// A list of texts; an empty one is written [].
Field texts_field(std::string key, std::vector<std::string>& members, std::string doc);
/// A list of exactly `members.size()` numbers within `bounds`.
Field reals_field(std::string key, std::span<double> members, Bounds bounds, std::string doc);

/// One of `names`; the i-th name stands for the value i.
Field choice_field(std::string key, std::span<const std::string_view> names, std::function<void(size_t)> set,
                   std::function<size_t()> get, std::string doc);
template <class Enum>
Field choice_field(std::string key, Enum& member, std::span<const std::string_view> names, std::string doc) {
  return choice_field(
      std::move(key), names, [&member](size_t i) { member = static_cast<Enum>(i); },
      [&member] { return static_cast<size_t>(member); }, std::move(doc));
}

}  // namespace trireme
