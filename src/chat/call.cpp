#include "chat/call.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "chat/operations.h"

namespace trireme::jinja {
namespace {

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

const Builtin* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), list_filters(), number_filters()}) {
    if (const Builtin* found = find_in(table, name)) return found;
  }
  return nullptr;
}

Value invoke(Run& run, const Builtin& builtin, const Value& self, Call call) {
  if (builtin.run == nullptr) {
    run.fail(cat("'", builtin.name, "' is part of jinja2 but not supported here"));
  }
  run.work();
  if (builtin.params == "*") return builtin.run(run, self, call);
  size_t count = 0;
  std::string_view rest = builtin.params;
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    const bool optional = ends_with(name, "?");
    if (optional) name.remove_suffix(1);
    const auto named =
        std::find_if(call.named.begin(), call.named.end(), [&](const Named& n) { return n.name == name; });
    if (count < call.args.size()) {
      if (named != call.named.end()) run.fail(cat("'", builtin.name, "' got two values for '", name, "'"));
      call.bound[count] = &call.args[count];
    } else if (named != call.named.end()) {
      call.bound[count] = &named->value;
    } else if (!optional) {
      run.fail(cat("'", builtin.name, "' needs its argument '", name, "'"));
    }
    ++count;
  }
  if (call.args.size() > count) {
    run.fail(cat("'", builtin.name, "' takes at most ", count, " arguments, got ", call.args.size()));
  }
  for (const Named& named : call.named) {
    const bool known = std::any_of(call.bound.begin(), call.bound.end(), [&](auto* v) { return v == &named.value; });
    if (!known) run.fail(cat("'", builtin.name, "' has no argument called '", named.name, "'"));
  }
  return builtin.run(run, self, call);
}

std::string_view text_arg(Run& run, const Call& call, size_t i, std::string_view fallback) {
  if (call[i] == nullptr) return fallback;
  if (!call[i]->is(Kind::string)) {
    require_defined(run, *call[i]);
    run.fail(cat("argument ", i + 1, " must be str, not ", type_name(*call[i])));
  }
  return call[i]->text;
}

int64_t int_arg(Run& run, const Call& call, size_t i, int64_t fallback) {
  if (call[i] == nullptr) return fallback;
  if (!call[i]->is_integral()) {
    require_defined(run, *call[i]);
    run.fail(cat("argument ", i + 1, " must be int, not ", type_name(*call[i])));
  }
  return call[i]->as_int();
}

bool flag_arg(const Call& call, size_t i, bool fallback) { return call[i] == nullptr ? fallback : truth(*call[i]); }

}  // namespace trireme::jinja
