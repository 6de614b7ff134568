// Truth, comparison and arithmetic.
#include "chat/operations.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "chat/format.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

std::string_view symbol(Op op) {
  switch (op) {
    case Op::add: return "+";
    case Op::subtract: return "-";
    case Op::multiply: return "*";
    case Op::divide: return "/";
    case Op::floor_divide: return "//";
    case Op::modulo: return "%";
    case Op::power: return "**";
    case Op::less: return "<";
    case Op::less_equal: return "<=";
    case Op::greater: return ">";
    default: return ">=";
  }
}

/// Of two numbers or texts: negative, 0 or positive; 2 where they have no order (NaN).
int order(const Value& a, const Value& b) {
  if (a.is(Kind::string)) return a.text.compare(b.text);
  const long double x = a.is(Kind::real) ? a.real : static_cast<long double>(a.as_int());  // exact for 64 bits
  const long double y = b.is(Kind::real) ? b.real : static_cast<long double>(b.as_int());
  if (x < y) return -1;
  if (x > y) return 1;
  return x == y ? 0 : 2;
}

bool holds(Op op, int ordered) {
  if (ordered == 2) return false;
  switch (op) {
    case Op::less: return ordered < 0;
    case Op::less_equal: return ordered <= 0;
    case Op::greater: return ordered > 0;
    default: return ordered >= 0;
  }
}

bool ordered(Run& run, Op op, const Value& a, const Value& b) {
  const Nested nested(run);
  run.work();
  if (a.is_number() && b.is_number()) return holds(op, order(a, b));
  if (a.is(Kind::string) && b.is(Kind::string)) return holds(op, order(a, b));
  if (a.kind == b.kind && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const int64_t common = std::min(a.items->size, b.items->size);
    for (int64_t i = 0; i < common; ++i) {
      const Value &x = a.items->data[i], &y = b.items->data[i];
      if (!equal(run, x, y)) return ordered(run, op, x, y);
    }
    return holds(op, a.items->size < b.items->size ? -1 : a.items->size > b.items->size);
  }
  require_defined(run, a);
  require_defined(run, b);
  run.fail(cat("'", symbol(op), "' not supported between instances of '", type_name(a), "' and '", type_name(b), "'"));
}

bool equal_sequences(Run& run, const Sequence& a, const Sequence& b) {
  if (a.size != b.size) return false;
  for (int64_t i = 0; i < a.size; ++i) {
    if (!equal(run, a.data[i], b.data[i])) return false;
  }
  return true;
}

bool equal_dicts(Run& run, const Dict& a, const Dict& b) {
  if (a.size != b.size) return false;
  for (int64_t i = 0; i < a.size; ++i) {
    const Value* other = find_key(run, b, a.data[i].key);
    if (other == nullptr || !equal(run, a.data[i].value, *other)) return false;
  }
  return true;
}

[[noreturn]] void unsupported(Run& run, Op op, const Value& a, const Value& b) {
  require_defined(run, a);
  require_defined(run, b);
  run.fail(cat("unsupported operand types for ", symbol(op), ": '", type_name(a), "' and '", type_name(b), "'"));
}

[[noreturn]] void too_large(Run& run) { run.fail("an integer does not fit into 64 bits"); }

/// `count` copies of a text, list or tuple.
Value repeat(Run& run, const Value& v, int64_t count) {
  count = std::max<int64_t>(count, 0);
  if (v.is(Kind::string)) {
    if (count > 0 && static_cast<int64_t>(v.text.size()) > run.limits.memory / count) run.fail_memory();
    Text out(run);
    for (int64_t i = 0; i < count && !v.text.empty(); ++i) out << v.text;
    return out.value();
  }
  if (count > 0 && v.items->size > run.limits.memory / count) run.fail_memory();
  Sequence out = *v.items;
  out.size = v.items->size * count;
  run.work(out.size);
  Value* data = run.array<Value>(out.size);
  for (int64_t i = 0; i < out.size; ++i) data[i] = v.items->data[i % v.items->size];
  out.data = data;
  return Value(v.kind, run.make(out));
}

Value joined(Run& run, const Value& a, const Value& b) {
  run.work(a.items->size + b.items->size);
  Sequence out = *a.items;
  out.size = a.items->size + b.items->size;
  Value* data = run.array<Value>(out.size);
  std::copy_n(a.items->data, a.items->size, data);
  std::copy_n(b.items->data, b.items->size, data + a.items->size);
  out.data = data;
  return Value(a.kind, run.make(out));
}

int64_t integer_power(Run& run, int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) too_large(run);
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) too_large(run);
  }
  return result;
}

Value integer_arithmetic(Run& run, Op op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(a, b, &out)) too_large(run);
      return out;
    case Op::subtract:
      if (__builtin_sub_overflow(a, b, &out)) too_large(run);
      return out;
    case Op::multiply:
      if (__builtin_mul_overflow(a, b, &out)) too_large(run);
      return out;
    case Op::power:
      if (b < 0) {
        if (a == 0) run.fail("0.0 cannot be raised to a negative power");
        return std::pow(static_cast<double>(a), static_cast<double>(b));
      }
      return integer_power(run, a, b);
    default: break;
  }
  if (b == 0) run.fail("division by zero");
  if (op == Op::divide) return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
  if (a == INT64_MIN && b == -1) {
    if (op == Op::modulo) return int64_t{0};
    too_large(run);
  }
  int64_t quotient = a / b, rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    --quotient;
    rest += b;
  }
  return op == Op::modulo ? rest : quotient;
}

Value real_arithmetic(Run& run, Op op, double a, double b) {
  switch (op) {
    case Op::add: return a + b;
    case Op::subtract: return a - b;
    case Op::multiply: return a * b;
    case Op::power:
      if (a == 0 && b < 0) run.fail("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(b) && b != std::floor(b)) run.fail("a power that is a complex number");
      if (const double power = std::pow(a, b); std::isfinite(power) || !std::isfinite(a) || !std::isfinite(b)) {
        return power;
      }
      run.fail("the result of ** is too large");
    default: break;
  }
  if (b == 0) run.fail("float division by zero");
  if (op == Op::divide) return a / b;
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) {
    rest += b;
    quotient -= 1;
  } else if (rest == 0) {
    rest = std::copysign(0.0, b);
  }
  if (op == Op::modulo) return rest;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

}  // namespace

bool truth(const Value& v) {
  switch (v.kind) {
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean: return v.boolean;
    case Kind::integer: return v.integer != 0;
    case Kind::real: return v.real != 0;
    case Kind::string: return !v.text.empty();
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
    case Kind::range: return v.items->size > 0;
    case Kind::dict: return v.dict->size > 0;
    case Kind::loop: return v.loop->size > 0;
    default: return true;
  }
}

bool equal(Run& run, const Value& a, const Value& b) {
  const Nested nested(run);
  run.work();
  if (a.is_number() && b.is_number()) return order(a, b) == 0;
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::string: run.work(static_cast<int64_t>(a.text.size()) / 16); return a.text == b.text;
    case Kind::list:
    case Kind::tuple:
    case Kind::range: return equal_sequences(run, *a.items, *b.items);
    case Kind::dict: return equal_dicts(run, *a.dict, *b.dict);
    default: return same(a, b);
  }
}

bool same(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::undefined:
    case Kind::none: return true;
    case Kind::boolean: return a.boolean == b.boolean;
    case Kind::integer: return a.integer == b.integer;
    case Kind::real: return a.real == b.real;
    case Kind::string: return a.text == b.text;
    case Kind::generator: return a.generator == b.generator;
    case Kind::dict: return a.dict == b.dict;
    case Kind::space: return a.space == b.space;
    case Kind::loop: return a.loop == b.loop;
    case Kind::callable: return a.callable == b.callable;
    default: return a.items == b.items;
  }
}

bool compare(Run& run, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::equal: return equal(run, a, b);
    case Op::unequal: return !equal(run, a, b);
    case Op::in: return contains(run, b, a);
    case Op::not_in: return !contains(run, b, a);
    default: return ordered(run, op, a, b);
  }
}

bool contains(Run& run, const Value& container, const Value& item) {
  if (container.is(Kind::string)) {
    if (!item.is(Kind::string)) {
      run.fail(cat("'in <string>' requires string as left operand, not ", type_name(item)));
    }
    run.work(static_cast<int64_t>(container.text.size()) / 16);
    return container.text.find(item.text) != std::string_view::npos;
  }
  if (container.is(Kind::dict)) {
    require_hashable(run, item);
    return find_key(run, *container.dict, item) != nullptr;
  }
  if (container.is(Kind::generator)) {
    for (Value v; next_element(run, *container.generator, v);) {
      if (equal(run, v, item)) return true;
    }
    return false;
  }
  if (!is_iterable(container)) run.fail(cat("argument of type '", type_name(container), "' is not iterable"));
  const std::span<const Value> all = elements(run, container);
  return std::any_of(all.begin(), all.end(), [&](const Value& v) { return equal(run, v, item); });
}

Value arithmetic(Run& run, Op op, const Value& a, const Value& b) {
  if (op == Op::modulo && a.is(Kind::string)) return format_percent(run, a.text, b);
  if (a.is_integral() && b.is_integral()) return integer_arithmetic(run, op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return real_arithmetic(run, op, a.as_real(), b.as_real());
  const auto repeats = [](const Value& v) { return v.is(Kind::string) || v.is(Kind::list) || v.is(Kind::tuple); };
  if (op == Op::add && a.kind == b.kind && repeats(a)) {
    if (!a.is(Kind::string)) return joined(run, a, b);
    Text out(run);
    out << a.text << b.text;
    return out.value();
  }
  if (op == Op::multiply && repeats(a) && b.is_integral()) return repeat(run, a, b.as_int());
  if (op == Op::multiply && repeats(b) && a.is_integral()) return repeat(run, b, a.as_int());
  unsupported(run, op, a, b);
}

Value negate(Run& run, const Value& v) {
  if (v.is(Kind::real)) return -v.real;
  if (v.is_integral()) return integer_arithmetic(run, Op::subtract, 0, v.as_int());
  require_defined(run, v);
  run.fail(cat("bad operand type for unary -: '", type_name(v), "'"));
}

Value positive(Run& run, const Value& v) {
  if (v.is(Kind::real)) return v;
  if (v.is_integral()) return v.as_int();
  require_defined(run, v);
  run.fail(cat("bad operand type for unary +: '", type_name(v), "'"));
}

}  // namespace trireme::jinja
