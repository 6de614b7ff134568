// Arguments of a call of a filter, test, method or function, and the tables of those.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "chat/run.h"

namespace trireme::jinja {

struct Named {
  std::string_view name;
  Value value;
};

struct Call {
  std::span<const Value> args = {};
  std::span<const Named> named = {};
  std::array<const Value*, 6> bound = {};  // by parameter of the Builtin; null where not given

  /// The argument for parameter i, or null.
  const Value* operator[](size_t i) const { return bound[i]; }
};

/// Calls `builtin` with the arguments in the order of its parameters. An error names what is missing or too much.
Value invoke(Run& run, const Builtin& builtin, const Value& self, Call call);

/// The filter, test or global function of that name, or nullptr. One whose `run` is null exists in jinja2, not here.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_global(std::string_view name);

/// The tables by theme, for the three above and for methods.
std::span<const Builtin> text_filters();
std::span<const Builtin> list_filters();
std::span<const Builtin> number_filters();
std::span<const Builtin> text_methods();

/// Argument i as text or number; `fallback` where it is not given. An error names the parameter's position.
std::string_view text_arg(Run& run, const Call& call, size_t i, std::string_view fallback = {});
int64_t int_arg(Run& run, const Call& call, size_t i, int64_t fallback = 0);
bool flag_arg(const Call& call, size_t i, bool fallback = false);
/// Given, and not none.
inline bool has_arg(const Call& call, size_t i) { return call[i] != nullptr && !call[i]->is(Kind::none); }

}  // namespace trireme::jinja
