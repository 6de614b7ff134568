// Global functions of chat templates, and the methods of lists, dicts, numbers and `loop`.
#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/error.h"
#include "chat/call.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

Value range(Run& run, const Value&, const Call& call) {
  if (call.args.empty() || call.args.size() > 3 || !call.named.empty()) run.fail("range takes one to three integers");
  int64_t part[] = {0, 0, 1};
  for (size_t i = 0; i < call.args.size(); ++i) {
    require_defined(run, call.args[i]);
    if (!call.args[i].is_integral()) run.fail(cat("range takes integers, not ", type_name(call.args[i])));
    part[call.args.size() == 1 ? 1 : i] = call.args[i].as_int();
  }
  return make_range(run, part[0], part[1], part[2]);
}

/// dict(mapping or pairs, name=value, ...).
std::vector<Entry> entries_of(Run& run, const Call& call) {
  std::vector<Entry> out;
  if (call.args.size() > 1) run.fail(cat("dict expected at most 1 argument, got ", call.args.size()));
  if (!call.args.empty()) {
    const Value& source = call.args[0];
    for (const Value& item : elements(run, source)) {
      if (source.is(Kind::dict)) {
        out.push_back({item, *find_key(run, *source.dict, item)});
        continue;
      }
      if (!is_iterable(item)) run.fail("cannot convert a dictionary update sequence element to a sequence");
      const auto pair = elements(run, item);
      if (pair.size() != 2) run.fail(cat("a pair was expected for a dict, found ", pair.size(), " values"));
      out.push_back({pair[0], pair[1]});
    }
  }
  for (const Named& named : call.named) out.push_back({named.name, named.value});
  return out;
}

Value dict(Run& run, const Value&, const Call& call) { return make_dict(run, entries_of(run, call)); }

Value make_namespace(Run& run, const Value&, const Call& call) {
  const Value attributes = make_dict(run, entries_of(run, call));
  Namespace space;
  space.size = space.capacity = attributes.dict->size;
  space.data = run.array<Entry>(space.size);
  std::copy_n(attributes.dict->data, space.size, space.data);
  for (int64_t i = 0; i < space.size; ++i) {
    const Value& name = space.data[i].key;
    if (name.is(Kind::string) && !name.text.empty() && name.text[0] == '_') {
      run.fail(cat("a namespace cannot hold '", name.text, "': the name begins with an underscore"));
    }
  }
  return run.make(space);
}

Value raise_exception(Run& run, const Value&, const Call& call) { run.fail(std::string(as_text(run, *call[0]))); }

Value strftime_now(Run& run, const Value&, const Call& call) {
  const std::string format(text_arg(run, call, 0));
  if (format.empty()) return std::string_view();
  const auto now = static_cast<std::time_t>(run.now);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 1024> buffer;
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  return run.keep({buffer.data(), size});
}

Value list_count(Run& run, const Value& self, const Call& call) {
  const auto all = elements(run, self);
  return static_cast<int64_t>(std::count_if(all.begin(), all.end(), [&](auto& v) { return equal(run, v, *call[0]); }));
}

Value list_index(Run& run, const Value& self, const Call& call) {
  const auto all = elements(run, self);
  const auto found = std::find_if(all.begin(), all.end(), [&](auto& v) { return equal(run, v, *call[0]); });
  if (found == all.end()) run.fail(cat(repr_text(run, *call[0]), " is not in the ", type_name(self)));
  return static_cast<int64_t>(found - all.begin());
}

Value copy(Run&, const Value& self, const Call&) { return self; }

Value dict_get(Run& run, const Value& self, const Call& call) {
  require_hashable(run, *call[0]);
  if (const Value* found = find_key(run, *self.dict, *call[0])) return *found;
  return call[1] != nullptr ? *call[1] : Value::none();
}

enum class Part { keys, values, items };

template <Part kPart>
Value dict_view(Run& run, const Value& self, const Call&) {
  Sequence view;
  view.name = kPart == Part::keys ? "dict_keys" : kPart == Part::values ? "dict_values" : "dict_items";
  view.size = self.dict->size;
  run.work(view.size);
  Value* data = run.array<Value>(view.size);
  for (int64_t i = 0; i < view.size; ++i) {
    const Entry& entry = self.dict->data[i];
    const Value pair[] = {entry.key, entry.value};
    data[i] = kPart == Part::keys ? entry.key : kPart == Part::values ? entry.value : run.tuple(pair);
  }
  view.data = data;
  return Value(Kind::view, run.make(view));
}

Value is_integer(Run&, const Value& self, const Call&) {
  return std::isfinite(self.real) && std::floor(self.real) == self.real;
}

Value loop_cycle(Run& run, const Value& self, const Call& call) {
  if (call.args.empty()) run.fail("no items for cycling given");
  return call.args[static_cast<size_t>(self.loop->index0) % call.args.size()];
}

Value loop_changed(Run& run, const Value& self, const Call& call) {
  const Value now = run.tuple(call.args);
  if (!self.loop->changed.is(Kind::undefined) && equal(run, self.loop->changed, now)) return false;
  self.loop->changed = now;
  return true;
}

constexpr Builtin kGlobals[] = {
    {"range", "*", range},
    {"dict", "*", dict},
    {"namespace", "*", make_namespace},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
    {"cycler", "*", nullptr},
    {"joiner", "*", nullptr},
    {"lipsum", "*", nullptr},
};
constexpr Builtin kSequenceMethods[] = {{"count", "value", list_count}, {"index", "value", list_index}};
constexpr Builtin kCopy[] = {{"copy", "", copy}};
constexpr Builtin kDictMethods[] = {
    {"get", "key default?", dict_get},
    {"items", "", dict_view<Part::items>},
    {"keys", "", dict_view<Part::keys>},
    {"values", "", dict_view<Part::values>},
    {"copy", "", copy},
    {"fromkeys", "*", nullptr},
};
constexpr Builtin kLoopMethods[] = {{"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}};
constexpr Builtin kRealMethods[] = {
    {"is_integer", "", is_integer}, {"hex", "", nullptr},      {"as_integer_ratio", "", nullptr},
    {"conjugate", "", nullptr},     {"fromhex", "*", nullptr}, {"real", "", nullptr},
    {"imag", "", nullptr}};
constexpr Builtin kIntegerMethods[] = {{"bit_length", "", nullptr}, {"bit_count", "", nullptr},
                                       {"to_bytes", "*", nullptr},  {"from_bytes", "*", nullptr},
                                       {"conjugate", "", nullptr},  {"as_integer_ratio", "", nullptr},
                                       {"numerator", "", nullptr},  {"denominator", "", nullptr},
                                       {"real", "", nullptr},       {"imag", "", nullptr}};

const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return found == table.end() ? nullptr : &*found;
}

const Builtin* method_of(const Value& owner, std::string_view name) {
  const Builtin* found = nullptr;
  switch (owner.kind) {
    case Kind::string: return find_in(text_methods(), name);
    case Kind::dict: return find_in(kDictMethods, name);
    case Kind::loop: return find_in(kLoopMethods, name);
    case Kind::real: return find_in(kRealMethods, name);
    case Kind::boolean:
    case Kind::integer: return find_in(kIntegerMethods, name);
    case Kind::list: found = find_in(kCopy, name); [[fallthrough]];
    case Kind::tuple:
    case Kind::range: return found != nullptr ? found : find_in(kSequenceMethods, name);
    default: return nullptr;
  }
}

}  // namespace

const Builtin* find_global(std::string_view name) { return find_in(kGlobals, name); }

Value find_method(Run& run, const Value& owner, std::string_view name) {
  const Builtin* method = method_of(owner, name);
  if (method == nullptr) return {};
  Callable callable;
  callable.builtin = method;
  callable.self = owner;
  return run.make(callable);
}

}  // namespace trireme::jinja
