#include "chat/machine.h"

#include <algorithm>

#include "base/error.h"
#include "chat/operations.h"
#include "chat/print.h"

namespace trireme::jinja {

/// A running for statement, which finds its further elements by itself.
struct Machine::ForLoop {
  Machine* machine;
  const Stmt* stmt;
  Frame* outer;
  std::span<const Value> source;  // elements still to be tried against the condition
};

Machine::Machine(const Tree& tree, Run& run)
    : tree_(tree),
      run_(run),
      context_(tree.name_texts.size()),
      given_(tree.name_texts.size()),
      root_(run),
      out_(&root_) {
  const auto number = [&](std::string_view name) {
    const auto found = tree_.names.find(name);
    return found == tree_.names.end() ? -1 : found->second;
  };
  loop_name_ = number("loop");
  caller_name_ = number("caller");
  kwargs_name_ = number("kwargs");
  varargs_name_ = number("varargs");
  for (size_t i = 0; i < tree_.name_texts.size(); ++i) {
    if (const Builtin* global = find_global(tree_.name_texts[i])) {
      Callable callable;
      callable.builtin = global;
      context_[i] = run_.make(callable);
      given_[i] = true;
    }
  }
}

void Machine::set(std::string_view name, const Value& value) {
  const auto found = tree_.names.find(name);
  if (found == tree_.names.end()) return;
  context_[static_cast<size_t>(found->second)] = value;
  given_[static_cast<size_t>(found->second)] = true;
}

std::string Machine::render() {
  top_ = frame_ = enter(nullptr, tree_.hidden);
  execute(tree_.body);
  return root_.take();
}

Machine::Frame* Machine::enter(Frame* parent, const std::vector<int>& hidden) {
  Frame* frame = run_.array<Frame>(1);
  *frame = {parent, nullptr, 0, 0, false};
  hide(frame, hidden);
  return frame;
}

void Machine::hide(Frame* frame, const std::vector<int>& names) {
  for (const int name : names) {
    const Value* text = run_.make(Value(tree_.name_texts[static_cast<size_t>(name)]));
    bind(frame, name, run_.missing({{}, {}, text, false}));
  }
}

void Machine::bind(Frame* frame, int name, const Value& value) {
  if (name < 0) return;  // nothing in the template asks for it
  run_.work(frame->size / 8);
  for (int i = 0; i < frame->size; ++i) {
    if (frame->data[i].name != name) continue;
    frame->data[i].value = value;
    return;
  }
  if (frame->size == frame->capacity) {
    const int capacity = std::max(4, frame->capacity * 2);
    Binding* data = run_.array<Binding>(capacity);
    std::copy_n(frame->data, frame->size, data);
    frame->data = data;
    frame->capacity = capacity;
  }
  frame->data[frame->size++] = {name, value};
}

const Value* Machine::find(int name) const {
  for (const Frame* frame = frame_; frame != nullptr; frame = frame->parent) {
    run_.work(frame->size / 8);
    for (int i = 0; i < frame->size; ++i) {
      if (frame->data[i].name == name) return &frame->data[i].value;
    }
  }
  return given_[static_cast<size_t>(name)] ? &context_[static_cast<size_t>(name)] : nullptr;
}

Value Machine::variable(int name) {
  if (const Value* found = find(name)) return *found;
  return run_.missing({{}, {}, run_.make(Value(tree_.name_texts[static_cast<size_t>(name)])), false});
}

void Machine::write(std::string_view text) {
  *out_ << text;
  if (static_cast<int64_t>(root_.size()) > run_.limits.output) {
    run_.fail(cat("the template writes more than ", run_.limits.output, " bytes"));
  }
}

void Machine::write(const Value& value) {
  if (value.is(Kind::string)) return write(value.text);
  append_str(*out_, value);
  write(std::string_view());
}

Machine::Flow Machine::execute(const Body& body) {
  for (const Stmt* stmt : body) {
    const Flow flow = execute(*stmt);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Machine::Flow Machine::execute(const Stmt& stmt) {
  const Nested nested(run_);
  run_.work();
  run_.line = stmt.line;
  switch (stmt.act) {
    case Do::text: write(stmt.text); break;
    case Do::output:
      for (const Expr* expr : stmt.exprs) write(evaluate(expr));
      break;
    case Do::branch: return branch(stmt);
    case Do::loop: loop(stmt, evaluate(stmt.expr), frame_, 0); break;
    case Do::assign: assign(stmt.target, evaluate(stmt.expr), frame_); break;
    case Do::capture: capture(stmt); break;
    case Do::macro: bind(frame_, stmt.name, macro_of(stmt)); break;
    case Do::call: call_block(stmt); break;
    case Do::filter: filter_block(stmt); break;
    case Do::with: with(stmt); break;
    case Do::block: write(collect(stmt.body, enter(top_, stmt.hidden))); break;
    case Do::generation: generation(stmt); break;
    case Do::stop: return Flow::stop;
    case Do::next: return Flow::next;
  }
  return Flow::on;
}

Machine::Flow Machine::branch(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    if (branch.test == nullptr || truth(evaluate(branch.test))) return execute(branch.body);
  }
  return Flow::on;
}

bool Machine::take_element(Loop& loop) {
  ForLoop& state = *static_cast<ForLoop*>(loop.owner);
  Machine& m = *state.machine;
  while (!state.source.empty()) {
    const Value item = state.source.front();
    state.source = state.source.subspan(1);
    bool taken = true;
    if (state.stmt->test != nullptr) {
      Frame* back = std::exchange(m.frame_, m.enter(state.outer));
      m.assign(state.stmt->target, item, m.frame_);
      taken = truth(m.evaluate(state.stmt->test));
      m.frame_ = back;
    }
    if (!taken) continue;
    loop.data[loop.size++] = item;
    return true;
  }
  return false;
}

void Machine::loop(const Stmt& stmt, const Value& iterable, Frame* outer, int64_t depth0) {
  const std::span<const Value> source = elements(run_, iterable);
  ForLoop* state = run_.array<ForLoop>(1);
  *state = {this, &stmt, outer, source};
  Loop* loop = run_.make(Loop{run_.array<Value>(static_cast<int64_t>(source.size())), 0});
  loop->more = take_element;
  loop->owner = state;
  loop->depth0 = depth0;
  if (stmt.test == nullptr) {
    while (take_element(*loop)) {}
  }
  Frame* back = frame_;
  Frame* frame = enter(outer);
  bool whole = false;
  while (loop->index0 + 1 < loop->size || take_element(*loop)) {
    run_.work();
    ++loop->index0;
    if (frame->captured) frame = enter(outer);
    frame->size = 0;
    hide(frame, stmt.hidden);
    bind(frame, loop_name_, loop);
    assign(stmt.target, loop->data[loop->index0], frame);
    frame_ = frame;
    const Flow flow = execute(stmt.body);
    if (flow == Flow::stop) break;
    whole = whole || flow == Flow::on;
  }
  frame_ = back;
  if (whole) return;  // jinja2's `else` also follows where break or continue cut every round short
  frame_ = enter(outer, stmt.otherwise_hidden);
  execute(stmt.otherwise);
  frame_ = back;
}

Value Machine::run_recursively(Loop& loop, const Value& iterable) {
  const ForLoop& state = *static_cast<ForLoop*>(loop.owner);
  if (!state.stmt->recursive) run_.fail("only a loop that says `recursive` can be called");
  Text text(run_);
  Text* back = std::exchange(out_, &text);
  this->loop(*state.stmt, iterable, state.outer, loop.depth0 + 1);
  out_ = back;
  return text.value();
}

Value Machine::collect(const Body& body, Frame* frame) {
  Text text(run_);
  Text* back = std::exchange(out_, &text);
  Frame* outer = std::exchange(frame_, frame);
  execute(body);
  frame_ = outer;
  out_ = back;
  return text.value();
}

void Machine::capture(const Stmt& stmt) {
  Frame* inner = enter(frame_, stmt.hidden);
  Value text = collect(stmt.body, inner);
  if (stmt.expr != nullptr) {
    block_text_ = text;
    Frame* back = std::exchange(frame_, inner);
    text = evaluate(stmt.expr);
    frame_ = back;
  }
  assign(stmt.target, text, frame_);
}

void Machine::filter_block(const Stmt& stmt) {
  Frame* inner = enter(frame_, stmt.hidden);
  block_text_ = collect(stmt.body, inner);
  Frame* back = std::exchange(frame_, inner);
  const Value filtered = evaluate(stmt.expr);
  frame_ = back;
  write(filtered);
}

void Machine::with(const Stmt& stmt) {
  Frame* inner = enter(frame_, stmt.hidden);
  for (size_t i = 0; i < stmt.targets.size(); ++i) assign(stmt.targets[i], evaluate(stmt.exprs[i]), inner);
  Frame* back = std::exchange(frame_, inner);
  execute(stmt.body);
  frame_ = back;
}

void Machine::generation(const Stmt& stmt) {
  const Value text = collect(stmt.body, enter(frame_, stmt.hidden));
  spans_.emplace_back(root_.size(), root_.size() + text.text.size());
  write(text);
}

void Machine::call_block(const Stmt& stmt) {
  const Value caller = macro_of(stmt);
  write(call(*stmt.expr, &caller));
}

void Machine::assign(const Target& target, const Value& value, Frame* frame) {
  if (target.parts.empty()) {
    if (target.attribute.empty())
      bind(frame, target.name, value);
    else
      assign_attribute(target, value);
    return;
  }
  if (!is_iterable(value)) run_.fail(cat("cannot unpack a value of type '", type_name(value), "'"));
  const std::span<const Value> parts = elements(run_, value);
  if (parts.size() != target.parts.size()) {
    run_.fail(cat("expected ", target.parts.size(), " values to unpack, found ", parts.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i], frame);
}

void Machine::assign_attribute(const Target& target, const Value& value) {
  const Value space = variable(target.name);
  if (!space.is(Kind::space)) run_.fail("cannot assign attribute on non-namespace object");
  if (target.attribute[0] == '_') {
    run_.fail(cat("a namespace cannot hold '", target.attribute, "': the name begins with an underscore"));
  }
  Namespace& attributes = *space.space;
  for (int64_t i = 0; i < attributes.size; ++i) {
    const Value& key = attributes.data[i].key;
    if (!key.is(Kind::string) || key.text != target.attribute) continue;
    attributes.data[i].value = value;
    return;
  }
  if (attributes.size == attributes.capacity) {
    attributes.capacity = std::max<int64_t>(4, attributes.capacity * 2);
    Entry* data = run_.array<Entry>(attributes.capacity);
    std::copy_n(attributes.data, attributes.size, data);
    attributes.data = data;
  }
  attributes.data[attributes.size++] = {target.attribute, value};
}

}  // namespace trireme::jinja
