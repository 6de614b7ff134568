// Tests: what may follow `is`.
#include <algorithm>

#include "base/error.h"
#include "chat/call.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

template <Kind kKind>
Value is_kind(Run&, const Value& self, const Call&) {
  return self.is(kKind);
}

Value defined(Run&, const Value& self, const Call&) { return !self.is(Kind::undefined); }
Value is_true(Run&, const Value& self, const Call&) { return self.is(Kind::boolean) && self.boolean; }
Value is_false(Run&, const Value& self, const Call&) { return self.is(Kind::boolean) && !self.boolean; }
Value number(Run&, const Value& self, const Call&) { return self.is_number(); }
Value iterable(Run&, const Value& self, const Call&) { return is_iterable(self) || self.is(Kind::loop); }
Value callable(Run&, const Value& self, const Call&) {
  return self.is(Kind::callable) || self.is(Kind::loop) || self.is(Kind::undefined);
}
Value never(Run&, const Value&, const Call&) { return false; }

Value sequence(Run&, const Value& self, const Call&) {
  return self.is_sequence() || self.is(Kind::string) || self.is(Kind::dict) || self.is(Kind::undefined);
}

Value modulo(Run& run, const Value& self, const Value& by, int64_t rest) {
  return equal(run, arithmetic(run, Op::modulo, self, by), rest);
}
Value odd(Run& run, const Value& self, const Call&) { return modulo(run, self, int64_t{2}, 1); }
Value even(Run& run, const Value& self, const Call&) { return modulo(run, self, int64_t{2}, 0); }
Value divisible(Run& run, const Value& self, const Call& call) { return modulo(run, self, *call[0], 0); }

template <Op kOp>
Value compares(Run& run, const Value& self, const Call& call) {
  return compare(run, kOp, self, *call[0]);
}

Value same_as(Run&, const Value& self, const Call& call) { return same(self, *call[0]); }

/// Cased, and each cased character as wanted.
Value cased(Run& run, const Value& self, bool (*wanted)(uint32_t)) {
  const std::string_view text = as_text(run, self);
  run.work(static_cast<int64_t>(text.size()) / 16);
  bool any = false;
  for (CodePoints at(text); at.next();) {
    if (!is_cased(at.point())) continue;
    if (!wanted(at.point())) return false;
    any = true;
  }
  return any;
}
Value lower(Run& run, const Value& self, const Call&) { return cased(run, self, is_lower); }
Value upper(Run& run, const Value& self, const Call&) { return cased(run, self, is_upper); }

Value filter_exists(Run&, const Value& self, const Call&) {
  return self.is(Kind::string) && find_filter(self.text) != nullptr;
}
Value test_exists(Run&, const Value& self, const Call&) {
  return self.is(Kind::string) && find_test(self.text) != nullptr;
}

constexpr Builtin kTable[] = {
    {"defined", "", defined},
    {"undefined", "", is_kind<Kind::undefined>},
    {"none", "", is_kind<Kind::none>},
    {"string", "", is_kind<Kind::string>},
    {"mapping", "", is_kind<Kind::dict>},
    {"boolean", "", is_kind<Kind::boolean>},
    {"integer", "", is_kind<Kind::integer>},
    {"float", "", is_kind<Kind::real>},
    {"true", "", is_true},
    {"false", "", is_false},
    {"number", "", number},
    {"sequence", "", sequence},
    {"iterable", "", iterable},
    {"callable", "", callable},
    {"sameas", "other", same_as},
    {"escaped", "", never},
    {"odd", "", odd},
    {"even", "", even},
    {"divisibleby", "num", divisible},
    {"lower", "", lower},
    {"upper", "", upper},
    {"filter", "", filter_exists},
    {"test", "", test_exists},
    {"in", "seq", compares<Op::in>},
    {"==", "other", compares<Op::equal>},
    {"eq", "other", compares<Op::equal>},
    {"equalto", "other", compares<Op::equal>},
    {"!=", "other", compares<Op::unequal>},
    {"ne", "other", compares<Op::unequal>},
    {">", "other", compares<Op::greater>},
    {"gt", "other", compares<Op::greater>},
    {"greaterthan", "other", compares<Op::greater>},
    {">=", "other", compares<Op::greater_equal>},
    {"ge", "other", compares<Op::greater_equal>},
    {"<", "other", compares<Op::less>},
    {"lt", "other", compares<Op::less>},
    {"lessthan", "other", compares<Op::less>},
    {"<=", "other", compares<Op::less_equal>},
    {"le", "other", compares<Op::less_equal>},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kTable), std::end(kTable), [&](const Builtin& b) { return b.name == name; });
  return found == std::end(kTable) ? nullptr : &*found;
}

}  // namespace trireme::jinja
