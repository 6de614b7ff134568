// Expressions and calls.
#include <algorithm>

#include "base/error.h"
#include "chat/machine.h"
#include "chat/operations.h"
#include "chat/print.h"

namespace trireme::jinja {

Value Machine::evaluate(const Expr* expr) {
  if (expr->op == Op::constant) return expr->value;
  if (expr->op == Op::name) return variable(expr->name);
  const Nested nested(run_);
  run_.work();
  return operation(*expr);
}

Value Machine::operation(const Expr& e) {
  switch (e.op) {
    case Op::list:
    case Op::tuple:
    case Op::dict: return literal(e);
    case Op::both: {
      const Value left = evaluate(e.args[0]);
      return truth(left) ? evaluate(e.args[1]) : left;
    }
    case Op::either: {
      const Value left = evaluate(e.args[0]);
      return truth(left) ? left : evaluate(e.args[1]);
    }
    case Op::invert: return !truth(evaluate(e.args[0]));
    case Op::condition:
      if (truth(evaluate(e.args[0]))) return evaluate(e.args[1]);
      if (e.args[2] != nullptr) return evaluate(e.args[2]);
      return run_.undefined("the inline if-expression evaluated to false and no else section was defined");
    case Op::add: return sum(e);
    case Op::concat: return join_texts(e);
    case Op::compare: return comparison(e);
    case Op::item: return subscript(e);
    case Op::filter:
    case Op::test: return apply(e);
    case Op::call: return call(e, nullptr);
    case Op::attribute: {
      const Value owner = evaluate(e.args[0]);
      run_.line = e.line;
      return get_attribute(run_, owner, e.text);
    }
    case Op::negative:
    case Op::positive: {
      const Value v = evaluate(e.args[0]);
      run_.line = e.line;
      return e.op == Op::negative ? negate(run_, v) : positive(run_, v);
    }
    default: {
      const Value left = evaluate(e.args[0]);
      const Value right = evaluate(e.args[1]);
      run_.line = e.line;
      return arithmetic(run_, e.op, left, right);
    }
  }
}

Value Machine::literal(const Expr& e) {
  if (e.op == Op::dict) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < e.args.size(); i += 2) entries.push_back({evaluate(e.args[i]), evaluate(e.args[i + 1])});
    run_.line = e.line;
    return make_dict(run_, entries);
  }
  std::vector<Value> values;
  for (const Expr* arg : e.args) values.push_back(evaluate(arg));
  return run_.list(values, e.op == Op::tuple ? Kind::tuple : Kind::list);
}

/// a + b + c ...: a chain of texts is put together once, not copied for each of its parts.
Value Machine::sum(const Expr& e) {
  std::vector<const Expr*> chain;
  const Expr* first = &e;
  for (; first->op == Op::add; first = first->args[0]) chain.push_back(first);
  Value total = evaluate(first);
  Text text(run_);
  bool joining = false;
  for (auto add = chain.rbegin(); add != chain.rend(); ++add) {
    const Value right = evaluate((*add)->args[1]);
    run_.work();
    run_.line = (*add)->line;
    if (!total.is(Kind::string) || !right.is(Kind::string)) {
      total = arithmetic(run_, Op::add, joining ? text.value() : total, right);
      continue;
    }
    if (!joining) text << total.text;
    joining = true;
    text << right.text;
  }
  return joining ? text.value() : total;
}

Value Machine::join_texts(const Expr& e) {
  Text text(run_);
  for (const Expr* arg : e.args) append_str(text, evaluate(arg));
  return text.value();
}

Value Machine::comparison(const Expr& e) {
  Value left = evaluate(e.args[0]);
  for (size_t i = 0; i < e.compares.size(); ++i) {
    const Value right = evaluate(e.args[i + 1]);
    run_.line = e.line;
    if (!compare(run_, e.compares[i], left, right)) return false;
    left = right;
  }
  return true;
}

Value Machine::subscript(const Expr& e) {
  const Value owner = evaluate(e.args[0]);
  const Expr& key = *e.args[1];
  if (key.op != Op::slice) {
    const Value index = evaluate(&key);
    run_.line = e.line;
    return get_item(run_, owner, index);
  }
  const auto bound = [&](const Expr* expr) { return expr == nullptr ? Value::none() : evaluate(expr); };
  const Value start = bound(key.args[0]), stop = bound(key.args[1]), step = bound(key.args[2]);
  run_.line = e.line;
  return slice(run_, owner, start, stop, step);
}

Machine::Arguments Machine::arguments(const Expr& e) {
  Arguments out;
  for (size_t i = 1; i < e.args.size(); ++i) out.args.push_back(evaluate(e.args[i]));
  for (const KeywordArg& arg : e.named) out.named.push_back({arg.name, evaluate(arg.value)});
  if (e.star != nullptr) {
    const std::span<const Value> more = elements(run_, evaluate(e.star));
    out.args.insert(out.args.end(), more.begin(), more.end());
  }
  if (e.star_star != nullptr) {
    const Value more = evaluate(e.star_star);
    if (!more.is(Kind::dict)) run_.fail(cat("the argument after ** must be a mapping, not ", type_name(more)));
    for (int64_t i = 0; i < more.dict->size; ++i) {
      const Entry& entry = more.dict->data[i];
      if (!entry.key.is(Kind::string)) run_.fail("keywords must be strings");
      out.named.push_back({entry.key.text, entry.value});
    }
  }
  for (size_t i = 0; i < out.named.size(); ++i) {
    run_.work(static_cast<int64_t>(i));
    for (size_t j = 0; j < i; ++j) {
      if (out.named[i].name == out.named[j].name) run_.fail(cat("got two values for '", out.named[i].name, "'"));
    }
  }
  return out;
}

Value Machine::apply(const Expr& e) {
  const Value input = e.args[0] == nullptr ? block_text_ : evaluate(e.args[0]);
  const Arguments given = arguments(e);
  run_.line = e.line;
  if (e.builtin == nullptr) {
    run_.fail(cat("there is no ", e.op == Op::filter ? "filter" : "test", " named '", e.text, "'"));
  }
  return invoke(run_, *e.builtin, input, {given.args, given.named});
}

Value Machine::call(const Expr& e, const Value* caller) {
  const Value callee = evaluate(e.args[0]);
  Arguments given = arguments(e);
  if (caller != nullptr) given.named.push_back({"caller", *caller});
  run_.line = e.line;
  const Value out = call_value(callee, {given.args, given.named});
  run_.line = e.line;
  return out;
}

Value Machine::call_value(const Value& callee, const Call& call) {
  if (callee.is(Kind::loop)) {
    if (call.args.size() != 1 || !call.named.empty()) run_.fail("a recursive loop is called with one argument");
    return run_recursively(*callee.loop, call.args[0]);
  }
  if (!callee.is(Kind::callable)) {
    require_defined(run_, callee);
    run_.fail(cat("'", type_name(callee), "' object is not callable"));
  }
  const Callable& target = *callee.callable;
  if (target.macro != nullptr) return call_macro(target, call);
  return invoke(run_, *target.builtin, target.self, call);
}

Value Machine::macro_of(const Stmt& stmt) {
  for (Frame* frame = frame_; frame != nullptr; frame = frame->parent) frame->captured = true;
  Callable callable;
  callable.macro = &stmt;
  callable.frame = frame_;
  return run_.make(callable);
}

Value Machine::call_macro(const Callable& callable, const Call& call) {
  const Nested nested(run_);
  const Stmt& macro = *callable.macro;
  Frame* frame = enter(static_cast<Frame*>(callable.frame), macro.hidden);
  const size_t positional = std::min(call.args.size(), macro.params.size());
  std::vector<bool> used(call.named.size());
  const auto take_named = [&](std::string_view name) -> const Value* {
    for (size_t i = 0; i < call.named.size(); ++i) {
      if (call.named[i].name != name || used[i]) continue;
      used[i] = true;
      return &call.named[i].value;
    }
    return nullptr;
  };
  std::vector<const Value*> given;
  for (size_t i = 0; i < macro.params.size(); ++i) {
    given.push_back(i < positional ? &call.args[i] : take_named(macro.params[i].text));
    if (given[i] != nullptr) bind(frame, macro.params[i].name, *given[i]);
  }
  if (macro.takes_caller) {
    const Value* caller = take_named("caller");
    bind(frame, caller_name_, caller != nullptr ? *caller : run_.undefined("No caller defined"));
  }
  std::vector<Entry> rest;
  for (size_t i = 0; i < call.named.size(); ++i) {
    if (!used[i]) rest.push_back({call.named[i].name, call.named[i].value});
  }
  if (macro.takes_named)
    bind(frame, kwargs_name_, make_dict(run_, rest));
  else if (!rest.empty())
    run_.fail(cat("macro '", macro.text, "' takes no keyword argument '", rest[0].key.text, "'"));
  const std::span<const Value> more = call.args.subspan(positional);
  if (macro.takes_rest)
    bind(frame, varargs_name_, run_.tuple(more));
  else if (!more.empty())
    run_.fail(cat("macro '", macro.text, "' takes not more than ", positional, " arguments"));

  Frame* back = std::exchange(frame_, frame);
  for (size_t i = 0; i < macro.params.size(); ++i) {
    if (given[i] != nullptr) continue;
    const Param& param = macro.params[i];
    bind(frame, param.name,
         param.fallback != nullptr ? evaluate(param.fallback)
                                   : run_.undefined(run_.keep(cat("parameter '", param.text, "' was not provided"))));
  }
  frame_ = back;
  return collect(macro.body, frame);
}

}  // namespace trireme::jinja
