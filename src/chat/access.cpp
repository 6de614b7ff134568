// Members of values: length, iteration, subscripts, slices, attributes, dicts.
#include <algorithm>

#include "base/error.h"
#include "chat/call.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as jinja2's sandbox

/// list[index] as Python has it; null where it is out of range.
const Value* at_index(const Sequence& s, int64_t index) {
  if (index < 0) index += s.size;
  return index >= 0 && index < s.size ? &s.data[index] : nullptr;
}

bool character_at(Run& run, std::string_view text, int64_t index, Value& out) {
  run.work(static_cast<int64_t>(text.size()) / 16);
  const int64_t size = text_length(text);
  if (index < 0) index += size;
  if (index < 0 || index >= size) return false;
  const size_t begin = text_offset(text, index);
  out = text.substr(begin, text_offset(text.substr(begin), 1));
  return true;
}

bool has_element(Loop& loop, int64_t index) {
  while (loop.size <= index) {
    if (loop.more == nullptr || !loop.more(loop)) return false;
  }
  return true;
}

int64_t full_size(Loop& loop) {
  has_element(loop, INT64_MAX);
  return loop.size;
}

/// The attributes of `loop`.
bool loop_attribute(Run& run, Loop& loop, std::string_view name, Value& out) {
  const int64_t i = loop.index0;
  if (name == "index")
    out = i + 1;
  else if (name == "index0")
    out = i;
  else if (name == "first")
    out = i == 0;
  else if (name == "last")
    out = !has_element(loop, i + 1);
  else if (name == "length")
    out = full_size(loop);
  else if (name == "revindex")
    out = full_size(loop) - i;
  else if (name == "revindex0")
    out = full_size(loop) - i - 1;
  else if (name == "depth")
    out = loop.depth0 + 1;
  else if (name == "depth0")
    out = loop.depth0;
  else if (name == "previtem")
    out = i > 0 ? loop.data[i - 1] : run.undefined("there is no previous item");
  else if (name == "nextitem")
    out = has_element(loop, i + 1) ? loop.data[i + 1] : run.undefined("there is no next item");
  else
    return false;
  return true;
}

/// An attribute that Python has for the type; false where it has none. What the sandbox forbids is undefined.
bool python_attribute(Run& run, const Value& owner, std::string_view name, Value& out) {
  if (owner.is(Kind::space)) {
    const Dict attributes{owner.space->data, owner.space->size};
    const Value* found = find_key(run, attributes, name);
    if (found != nullptr) out = *found;
    return found != nullptr;
  }
  if (owner.is(Kind::loop) && loop_attribute(run, *owner.loop, name, out)) return true;
  out = find_method(run, owner, name);
  if (!out.is(Kind::undefined)) return true;
  constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr std::string_view kListChanges[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
  const auto among = [&](std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const bool hidden = name.size() > 4 && name.substr(0, 2) == "__" && name.substr(name.size() - 2) == "__";
  if (hidden || (owner.is(Kind::dict) && among(kDictChanges)) || (owner.is(Kind::list) && among(kListChanges))) {
    out =
        run.undefined(run.keep(cat("access to attribute '", name, "' of '", type_name(owner), "' object is unsafe.")));
    return true;
  }
  return false;
}

/// Position of the entry with that key, or -1.
int64_t find_index(Run& run, const Dict& dict, const Value& key) {
  run.work(dict.size / 8);
  for (int64_t i = 0; i < dict.size; ++i) {
    const Value& k = dict.data[i].key;
    const bool found = k.is(Kind::string) && key.is(Kind::string) ? k.text == key.text : equal(run, k, key);
    if (found) return i;
  }
  return -1;
}

struct Bounds {
  int64_t start, count;
};

/// Python's slice.indices().
Bounds slice_bounds(Run& run, int64_t size, const Value& start, const Value& stop, int64_t step) {
  const auto bound = [&](const Value& v, int64_t fallback) {
    if (v.is(Kind::none)) return fallback;
    if (!v.is_integral()) {
      require_defined(run, v);
      run.fail("slice indices must be integers or None");
    }
    const int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? size - 1 : size;
    int64_t i = v.as_int();
    if (i < 0) i = i < -size ? lowest : i + size;
    return std::clamp(i, lowest, highest);
  };
  const int64_t from = bound(start, step < 0 ? size - 1 : 0), to = bound(stop, step < 0 ? -1 : size);
  if (step > 0) return {from, to > from ? (to - from - 1) / step + 1 : 0};
  return {from, from > to ? (from - to - 1) / -step + 1 : 0};
}

Value slice_text(Run& run, std::string_view text, Bounds bounds, int64_t step) {
  run.work(static_cast<int64_t>(text.size()) / 16 + bounds.count);
  if (bounds.count <= 0) return std::string_view();
  if (step == 1) {
    const size_t begin = text_offset(text, bounds.start);
    return text.substr(begin, text_offset(text.substr(begin), bounds.count));
  }
  const std::span<const Value> characters = elements(run, text);
  Text out(run);
  for (int64_t i = 0; i < bounds.count; ++i) out << characters[static_cast<size_t>(bounds.start + i * step)].text;
  return out.value();
}

}  // namespace

std::string_view type_name(const Value& v) {
  switch (v.kind) {
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::real: return "float";
    case Kind::string: return "str";
    case Kind::dict: return "dict";
    case Kind::space: return "Namespace";
    case Kind::loop: return "LoopContext";
    case Kind::generator: return "generator";
    case Kind::callable: return "function";
    default: return v.items->name;
  }
}

std::string_view owner_name(const Value& v) { return v.is(Kind::none) ? "None" : type_name(v); }

std::string reason(Run& run, const Value& v) {
  if (v.missing == nullptr) return "a value is undefined";
  const Missing& m = *v.missing;
  if (!m.hint.empty()) return std::string(m.hint);
  const std::string name = repr_text(run, *m.name);
  if (m.owner.empty()) return cat(name, " is undefined");
  const std::string owner = m.owner == "None" ? "None" : cat(m.owner, " object");
  return m.attribute ? cat("'", owner, "' has no attribute ", name) : cat(owner, " has no element ", name);
}

void require_defined(Run& run, const Value& v) {
  if (v.is(Kind::undefined)) run.fail(reason(run, v));
}

int64_t length(Run& run, const Value& v) {
  switch (v.kind) {
    case Kind::undefined: return 0;
    case Kind::string: run.work(static_cast<int64_t>(v.text.size()) / 16); return text_length(v.text);
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
    case Kind::range: return v.items->size;
    case Kind::dict: return v.dict->size;
    case Kind::loop: return full_size(*v.loop);
    default: run.fail(cat("object of type '", type_name(v), "' has no len()"));
  }
}

bool is_iterable(const Value& v) {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
    case Kind::range:
    case Kind::generator:
    case Kind::dict: return true;
    default: return false;
  }
}

std::span<const Value> elements(Run& run, const Value& v) {
  const auto as_span = [](const Value* data, int64_t size) { return std::span(data, static_cast<size_t>(size)); };
  if (v.is(Kind::undefined)) return {};
  if (v.is(Kind::string)) {
    Value* data = run.array<Value>(text_length(v.text));
    int64_t count = 0;
    for (CodePoints at(v.text); at.next();) data[count++] = at.bytes();
    run.work(count);
    return as_span(data, count);
  }
  if (v.is(Kind::dict)) {
    Value* data = run.array<Value>(v.dict->size);
    for (int64_t i = 0; i < v.dict->size; ++i) data[i] = v.dict->data[i].key;
    run.work(v.dict->size);
    return as_span(data, v.dict->size);
  }
  if (v.is(Kind::generator)) {
    Generator& g = *v.generator;
    const auto rest = as_span(g.data + g.next, g.size - g.next);
    g.next = g.size;
    if (!g.failure.empty()) run.fail(std::string(g.failure));
    return rest;
  }
  if (!is_iterable(v)) run.fail(cat("'", type_name(v), "' object is not iterable"));
  run.work(v.items->size / 8);
  return as_span(v.items->data, v.items->size);
}

bool next_element(Run& run, Generator& generator, Value& out) {
  run.work();
  if (generator.next < generator.size) {
    out = generator.data[generator.next++];
    return true;
  }
  if (!generator.failure.empty()) run.fail(std::string(generator.failure));
  return false;
}

void require_hashable(Run& run, const Value& key) {
  const Nested nested(run);
  if (key.is(Kind::list) || key.is(Kind::dict)) run.fail(cat("unhashable type: '", type_name(key), "'"));
  if (!key.is(Kind::tuple)) return;
  for (const Value& v : elements(run, key)) require_hashable(run, v);
}

const Value* find_key(Run& run, const Dict& dict, const Value& key) {
  const int64_t index = find_index(run, dict, key);
  return index < 0 ? nullptr : &dict.data[index].value;
}

Value make_dict(Run& run, std::span<const Entry> entries) {
  Entry* data = run.array<Entry>(static_cast<int64_t>(entries.size()));
  Dict dict{data, 0};
  for (const Entry& entry : entries) {
    require_hashable(run, entry.key);
    const int64_t known = find_index(run, dict, entry.key);
    if (known >= 0)
      data[known].value = entry.value;
    else
      data[dict.size++] = entry;
  }
  return run.make(dict);
}

Value get_item(Run& run, const Value& owner, const Value& key) {
  require_defined(run, owner);
  Value out;
  if (owner.is(Kind::dict)) {
    const bool hashable = !key.is(Kind::list) && !key.is(Kind::dict);
    if (const Value* found = hashable ? find_key(run, *owner.dict, key) : nullptr) return *found;
  } else if (owner.is_sequence() && key.is_integral()) {
    if (const Value* found = at_index(*owner.items, key.as_int())) return *found;
  } else if (owner.is(Kind::string) && key.is_integral()) {
    if (character_at(run, owner.text, key.as_int(), out)) return out;
  }
  if (key.is(Kind::string) && python_attribute(run, owner, key.text, out)) return out;
  return run.missing({{}, owner_name(owner), run.make(key), key.is(Kind::string)});
}

Value get_attribute(Run& run, const Value& owner, std::string_view name, bool members) {
  require_defined(run, owner);
  Value out;
  if (python_attribute(run, owner, name, out)) return out;
  if (members && owner.is(Kind::dict)) {
    if (const Value* found = find_key(run, *owner.dict, name)) return *found;
  }
  return run.missing({{}, owner_name(owner), run.make(Value(name)), true});
}

Value slice(Run& run, const Value& owner, const Value& start, const Value& stop, const Value& step) {
  require_defined(run, owner);
  if (!owner.is_sequence() && !owner.is(Kind::string)) {
    run.fail(cat("'", type_name(owner), "' object cannot be sliced"));
  }
  if (!step.is(Kind::none) && !step.is_integral()) {
    require_defined(run, step);
    run.fail("slice indices must be integers or None");
  }
  const int64_t by = step.is(Kind::none) ? 1 : std::max<int64_t>(step.as_int(), -INT64_MAX);
  if (by == 0) run.fail("slice step cannot be zero");
  const Bounds bounds = slice_bounds(run, length(run, owner), start, stop, by);
  if (owner.is(Kind::string)) return slice_text(run, owner.text, bounds, by);
  run.work(bounds.count);
  Sequence out = *owner.items;
  Value* data = run.array<Value>(bounds.count);
  for (int64_t i = 0; i < bounds.count; ++i) data[i] = owner.items->data[bounds.start + i * by];
  out.data = data;
  out.size = bounds.count;
  if (owner.is(Kind::range)) {
    out.start = owner.items->start + bounds.start * owner.items->step;
    if (__builtin_mul_overflow(owner.items->step, by, &out.step) ||
        __builtin_mul_overflow(out.size, out.step, &out.stop) || __builtin_add_overflow(out.start, out.stop, &out.stop))
      run.fail("a slice of a range with too large a step");
  }
  return Value(owner.kind, run.make(out));
}

Value make_range(Run& run, int64_t start, int64_t stop, int64_t step) {
  if (step == 0) run.fail("range() arg 3 must not be zero");
  const __int128 span = step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 count = span > 0 ? (span - 1) / stride + 1 : 0;
  if (count > kMaxRange) run.fail(cat("a range of more than ", kMaxRange, " elements"));
  Sequence out{nullptr, static_cast<int64_t>(count), "range", start, stop, step};
  Value* data = run.array<Value>(out.size);
  for (int64_t i = 0; i < out.size; ++i) data[i] = start + i * step;
  run.work(out.size / 4);
  out.data = data;
  return Value(Kind::range, run.make(out));
}

}  // namespace trireme::jinja
