// Renders a parsed template: walks its tree with one frame of variables for each scope. A scope is a loop's body, a
// macro, a captured block; conditions are none. Macros see the frames that they were made in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/ast.h"
#include "chat/call.h"
#include "chat/run.h"

namespace trireme::jinja {

/// Where {% generation %} blocks stand in the output, as [begin, end) bytes.
using Spans = std::vector<std::pair<size_t, size_t>>;

class Machine {
 public:
  Machine(const Tree& tree, Run& run);

  /// A variable of the whole template; one that the template never mentions is passed over.
  void set(std::string_view name, const Value& value);
  std::string render();
  const Spans& spans() const { return spans_; }

 private:
  enum class Flow { on, stop, next };
  struct Binding {
    int name;
    Value value;
  };
  struct Frame {
    Frame* parent;
    Binding* data;
    int size, capacity;
    bool captured;  // by a macro: must not be used again
  };
  struct ForLoop;

  // machine.cpp: statements
  Flow execute(const Body& body);
  Flow execute(const Stmt& stmt);
  Flow branch(const Stmt& stmt);
  void loop(const Stmt& stmt, const Value& iterable, Frame* outer, int64_t depth0);
  Value run_recursively(Loop& loop, const Value& iterable);
  static bool take_element(Loop& loop);
  void capture(const Stmt& stmt);
  void filter_block(const Stmt& stmt);
  void with(const Stmt& stmt);
  void generation(const Stmt& stmt);
  void call_block(const Stmt& stmt);
  void write(std::string_view text);
  void write(const Value& value);
  /// What `body` writes, executed in `frame`.
  Value collect(const Body& body, Frame* frame);
  void assign(const Target& target, const Value& value, Frame* frame);
  void assign_attribute(const Target& target, const Value& value);

  Frame* enter(Frame* parent, const std::vector<int>& hidden = {});
  void hide(Frame* frame, const std::vector<int>& names);
  void bind(Frame* frame, int name, const Value& value);
  const Value* find(int name) const;
  Value variable(int name);

  // evaluate.cpp: expressions
  Value evaluate(const Expr* expr);
  Value operation(const Expr& expr);
  Value comparison(const Expr& expr);
  Value subscript(const Expr& expr);
  Value literal(const Expr& expr);
  Value sum(const Expr& expr);
  Value join_texts(const Expr& expr);
  Value apply(const Expr& expr);
  Value call(const Expr& expr, const Value* caller);
  Value call_value(const Value& callee, const Call& call);
  Value call_macro(const Callable& macro, const Call& call);
  struct Arguments {
    std::vector<Value> args;
    std::vector<Named> named;
  };
  Arguments arguments(const Expr& expr);
  Value macro_of(const Stmt& stmt);

  const Tree& tree_;
  Run& run_;
  std::vector<Value> context_;  // by name; undefined: not there
  std::vector<bool> given_;
  Frame* top_ = nullptr;
  Frame* frame_ = nullptr;
  Text root_;
  Text* out_;
  Value block_text_;  // what the filters of a block begin with
  Spans spans_;
  int loop_name_, caller_name_, kwargs_name_, varargs_name_;
};

}  // namespace trireme::jinja
