// Filters over lists, dicts and generators.
#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/strings.h"
#include "chat/call.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

using Values = std::vector<Value>;

/// "a.b.0": the parts of an attribute, numbers as such. none: no parts.
Values attribute_parts(Run& run, const Value& attribute) {
  if (attribute.is(Kind::none)) return {};
  if (!attribute.is(Kind::string)) return {attribute};
  Values out;
  std::string_view rest = attribute.text;
  while (true) {
    const size_t end = std::min(rest.find('.'), rest.size());
    int64_t index = 0;
    const std::string_view part = rest.substr(0, end);
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    out.push_back(digits && parse_integer(part, index) ? Value(index) : Value(part));
    run.work();
    if (end == rest.size()) return out;
    rest.remove_prefix(end + 1);
  }
}

Value get_parts(Run& run, Value item, const Values& parts) {
  for (const Value& part : parts) item = get_item(run, item, part);
  return item;
}

Value ignore_case(Run& run, const Value& v) {
  if (!v.is(Kind::string)) return v;
  Text out(run);
  append_lower(out, v.text);
  return out.value();
}

/// The attribute of an item that a filter compares by.
class Key {
 public:
  Key(Run& run, const Value* attribute, bool case_sensitive)
      : run_(run),
        parts_(attribute_parts(run, attribute == nullptr ? Value::none() : *attribute)),
        exact_(case_sensitive) {}
  Value of(const Value& item) const {
    const Value v = get_parts(run_, item, parts_);
    return exact_ ? v : ignore_case(run_, v);
  }

 private:
  Run& run_;
  Values parts_;
  bool exact_;
};

struct Keyed {
  Value key, item;
};

void sort_by_key(Run& run, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? compare(run, Op::less, b.key, a.key) : compare(run, Op::less, a.key, b.key);
  });
}

Value list_of(Run& run, const std::vector<Keyed>& items) {
  Values out;
  for (const Keyed& item : items) out.push_back(item.item);
  return run.list(out);
}

/// A generator of what `fill` adds. An error waits until the generator comes to it, as in Python.
Value lazily(Run& run, const std::function<void(Values&)>& fill) {
  Values out;
  try {
    fill(out);
  } catch (const TemplateError& error) {
    return run.generator(out, run.keep(error.text));
  }
  return run.generator(out);
}

/// The same of what `make` adds for each item.
Value generate(Run& run, const Value& self, const std::function<void(const Value&, Values&)>& make) {
  return lazily(run, [&](Values& out) {
    if (!truth(self)) return;
    for (const Value& item : elements(run, self)) make(item, out);
  });
}

Value count(Run& run, const Value& self, const Call&) { return length(run, self); }

Value fallback(Run&, const Value& self, const Call& call) {
  const Value other = call[0] != nullptr ? *call[0] : Value(std::string_view());
  return self.is(Kind::undefined) || (flag_arg(call, 1) && !truth(self)) ? other : self;
}

Value join(Run& run, const Value& self, const Call& call) {
  const std::string_view separator = call[0] == nullptr ? "" : as_text(run, *call[0]);
  const Values parts = attribute_parts(run, has_arg(call, 1) ? *call[1] : Value::none());
  Text out(run);
  bool more = false;
  for (const Value& item : elements(run, self)) {
    if (more) out << separator;
    append_str(out, get_parts(run, item, parts));
    more = true;
  }
  return out.value();
}

Value first(Run& run, const Value& self, const Call&) {
  Value out;
  if (self.is(Kind::generator)) {
    if (next_element(run, *self.generator, out)) return out;
  } else if (const auto all = elements(run, self); !all.empty()) {
    return all.front();
  }
  return run.undefined("No first item, sequence was empty.");
}

Value last(Run& run, const Value& self, const Call&) {
  if (self.is(Kind::generator)) run.fail("'generator' object is not reversible; write `| list | last`");
  const auto all = elements(run, self);
  return all.empty() ? run.undefined("No last item, sequence was empty.") : all.back();
}

Value list(Run& run, const Value& self, const Call&) { return run.list(elements(run, self)); }

Value reverse(Run& run, const Value& self, const Call&) {
  const auto all = elements(run, self);
  Values out(all.rbegin(), all.rend());
  if (self.is(Kind::string)) {
    Text text(run);
    for (const Value& v : out) text << v.text;
    return text.value();
  }
  return self.is(Kind::generator) ? run.list(out) : run.generator(out);
}

Value items(Run& run, const Value& self, const Call&) {
  if (self.is(Kind::undefined)) return run.generator({});
  if (!self.is(Kind::dict)) return run.generator({}, "Can only get item pairs from a mapping.");
  Values out;
  for (int64_t i = 0; i < self.dict->size; ++i) {
    const Value pair[] = {self.dict->data[i].key, self.dict->data[i].value};
    out.push_back(run.tuple(pair));
  }
  return run.generator(out);
}

Value dictsort(Run& run, const Value& self, const Call& call) {
  const std::string_view by = text_arg(run, call, 1, "key");
  if (by != "key" && by != "value") run.fail("dictsort sorts by either \"key\" or \"value\"");
  require_defined(run, self);
  if (!self.is(Kind::dict)) run.fail(cat("dictsort needs a dict, not ", type_name(self)));
  std::vector<Keyed> all;
  for (int64_t i = 0; i < self.dict->size; ++i) {
    const Value pair[] = {self.dict->data[i].key, self.dict->data[i].value};
    const Value& key = pair[by == "key" ? 0 : 1];
    all.push_back({flag_arg(call, 0) ? key : ignore_case(run, key), run.tuple(pair)});
  }
  sort_by_key(run, all, flag_arg(call, 2));
  return list_of(run, all);
}

Value sort(Run& run, const Value& self, const Call& call) {
  Values attributes;  // "a,b" sorts by a, then b
  if (has_arg(call, 2) && call[2]->is(Kind::string)) {
    for (const std::string& name : split(call[2]->text, ',')) attributes.push_back(run.keep(name));
  } else {
    attributes.push_back(call[2] == nullptr ? Value::none() : *call[2]);
  }
  std::vector<Keyed> all;
  for (const Value& item : elements(run, self)) {
    Values key;
    for (const Value& attribute : attributes) key.push_back(Key(run, &attribute, flag_arg(call, 1)).of(item));
    all.push_back({run.list(key), item});
  }
  sort_by_key(run, all, flag_arg(call, 0));
  return list_of(run, all);
}

Value unique(Run& run, const Value& self, const Call& call) {
  const Key key(run, call[1], flag_arg(call, 0));
  return lazily(run, [&](Values& out) {
    Values seen;
    for (const Value& item : elements(run, self)) {
      const Value k = key.of(item);
      require_hashable(run, k);
      if (std::any_of(seen.begin(), seen.end(), [&](const Value& v) { return equal(run, v, k); })) continue;
      seen.push_back(k);
      out.push_back(item);
    }
  });
}

Value groupby(Run& run, const Value& self, const Call& call) {
  const Values parts = attribute_parts(run, *call[0]);
  const auto attribute = [&](const Value& item) {
    Value v = item;
    for (const Value& part : parts) {
      v = get_item(run, v, part);
      if (v.is(Kind::undefined) && has_arg(call, 1)) v = *call[1];
    }
    return v;
  };
  std::vector<Keyed> all;
  for (const Value& item : elements(run, self)) {
    const Value key = attribute(item);
    all.push_back({flag_arg(call, 2) ? key : ignore_case(run, key), item});
  }
  sort_by_key(run, all, false);
  Values groups;
  for (size_t i = 0; i < all.size();) {
    const size_t begin = i;
    Values members;
    for (; i < all.size() && equal(run, all[i].key, all[begin].key); ++i) members.push_back(all[i].item);
    if (members.empty()) members.push_back(all[i++].item);  // NaN is not even equal to itself
    const Value group[] = {attribute(members[0]), run.list(members)};
    groups.push_back(run.tuple(group));
  }
  return run.list(groups);
}

Value extreme(Run& run, const Value& self, const Call& call, Op better) {
  const Key key(run, call[1], flag_arg(call, 0));
  const auto all = elements(run, self);
  if (all.empty()) return run.undefined("No aggregated item, sequence was empty.");
  Keyed best{key.of(all[0]), all[0]};
  for (const Value& item : all.subspan(1)) {
    const Value k = key.of(item);
    if (compare(run, better, k, best.key)) best = {k, item};
  }
  return best.item;
}

Value smallest(Run& run, const Value& self, const Call& call) { return extreme(run, self, call, Op::less); }
Value largest(Run& run, const Value& self, const Call& call) { return extreme(run, self, call, Op::greater); }

Value sum(Run& run, const Value& self, const Call& call) {
  const Values parts = attribute_parts(run, has_arg(call, 0) ? *call[0] : Value::none());
  Value total = call[1] != nullptr ? *call[1] : Value(int64_t{0});
  if (total.is(Kind::string)) run.fail("sum() can't sum strings; use join");
  for (const Value& item : elements(run, self)) total = arithmetic(run, Op::add, total, get_parts(run, item, parts));
  return total;
}

Value batch(Run& run, const Value& self, const Call& call) {
  return lazily(run, [&](Values& out) {
    const auto all = elements(run, self);
    const int64_t size = int_arg(run, call, 0);
    const auto has_room = [&](const Values& part) { return static_cast<int64_t>(part.size()) != size; };
    Values part;
    for (const Value& item : all) {
      if (!has_room(part)) {
        out.push_back(run.list(part));
        part.clear();
      }
      part.push_back(item);
    }
    if (part.empty()) return;
    if (const int64_t missing = size - static_cast<int64_t>(part.size()); has_arg(call, 1) && missing > 0) {
      run.work(missing);
      run.room(missing * static_cast<int64_t>(sizeof(Value)));
      part.insert(part.end(), static_cast<size_t>(missing), *call[1]);
    }
    out.push_back(run.list(part));
  });
}

Value slice_filter(Run& run, const Value& self, const Call& call) {
  return lazily(run, [&](Values& out) {
    const auto all = elements(run, self);
    const int64_t slices = int_arg(run, call, 0);
    if (slices == 0) run.fail("integer division or modulo by zero");
    if (slices < 0) return;
    run.work(slices);
    const int64_t size = static_cast<int64_t>(all.size()), each = size / slices, longer = size % slices;
    size_t begin = 0;
    for (int64_t i = 0; i < slices; ++i) {
      const auto count = static_cast<size_t>(each + (i < longer ? 1 : 0));
      const auto items = all.subspan(begin, count);
      Values part(items.begin(), items.end());
      if (has_arg(call, 1) && i >= longer) part.push_back(*call[1]);
      out.push_back(run.list(part));
      begin += count;
    }
  });
}

Value map(Run& run, const Value& self, const Call& call) {
  const auto named = [&](std::string_view name) -> const Value* {
    for (const Named& n : call.named) {
      if (n.name == name) return &n.value;
    }
    return nullptr;
  };
  const Value* attribute = call.args.empty() ? named("attribute") : nullptr;
  if (attribute != nullptr) {
    const Value* other = named("default");
    if (call.named.size() > (other != nullptr ? 2U : 1U)) return run.generator({}, "map: unexpected keyword argument");
    const Values parts = attribute_parts(run, *attribute);
    return generate(run, self, [&](const Value& item, Values& out) {
      Value v = item;
      for (const Value& part : parts) {
        v = get_item(run, v, part);
        if (v.is(Kind::undefined) && other != nullptr && !other->is(Kind::none)) v = *other;
      }
      out.push_back(v);
    });
  }
  return generate(run, self, [&](const Value& item, Values& out) {
    if (call.args.empty()) run.fail("map requires a filter argument");
    const Builtin* filter = call.args[0].is(Kind::string) ? find_filter(call.args[0].text) : nullptr;
    if (filter == nullptr) run.fail(cat("there is no filter named ", repr_text(run, call.args[0])));
    out.push_back(invoke(run, *filter, item, {call.args.subspan(1), call.named}));
  });
}

Value choose(Run& run, const Value& self, const Call& call, bool by_attribute, bool wanted) {
  return generate(run, self, [&](const Value& item, Values& out) {
    std::span<const Value> args = call.args;
    Value v = item;
    if (by_attribute) {
      if (args.empty()) run.fail("missing parameter for attribute name");
      v = get_parts(run, item, attribute_parts(run, args[0]));
      args = args.subspan(1);
    }
    bool passes = truth(v);
    if (!args.empty()) {
      const Builtin* test = args[0].is(Kind::string) ? find_test(args[0].text) : nullptr;
      if (test == nullptr) run.fail(cat("there is no test named ", repr_text(run, args[0])));
      passes = truth(invoke(run, *test, v, {args.subspan(1), call.named}));
    }
    if (passes == wanted) out.push_back(item);
  });
}

Value attribute(Run& run, const Value& self, const Call& call) {
  return get_attribute(run, self, text_arg(run, call, 0), false);
}

Value select(Run& run, const Value& self, const Call& call) { return choose(run, self, call, false, true); }
Value reject(Run& run, const Value& self, const Call& call) { return choose(run, self, call, false, false); }
Value selectattr(Run& run, const Value& self, const Call& call) { return choose(run, self, call, true, true); }
Value rejectattr(Run& run, const Value& self, const Call& call) { return choose(run, self, call, true, false); }

constexpr Builtin kTable[] = {
    {"length", "", count},
    {"count", "", count},
    {"default", "default_value? boolean?", fallback},
    {"d", "default_value? boolean?", fallback},
    {"join", "d? attribute?", join},
    {"first", "", first},
    {"last", "", last},
    {"list", "", list},
    {"reverse", "", reverse},
    {"items", "", items},
    {"map", "*", map},
    {"select", "*", select},
    {"reject", "*", reject},
    {"selectattr", "*", selectattr},
    {"rejectattr", "*", rejectattr},
    {"dictsort", "case_sensitive? by? reverse?", dictsort},
    {"sort", "reverse? case_sensitive? attribute?", sort},
    {"unique", "case_sensitive? attribute?", unique},
    {"groupby", "attribute default? case_sensitive?", groupby},
    {"min", "case_sensitive? attribute?", smallest},
    {"max", "case_sensitive? attribute?", largest},
    {"sum", "attribute? start?", sum},
    {"batch", "linecount fill_with?", batch},
    {"slice", "slices fill_with?", slice_filter},
    {"attr", "name", attribute},
    {"random", "", nullptr},
};

}  // namespace

std::span<const Builtin> list_filters() { return kTable; }

}  // namespace trireme::jinja
