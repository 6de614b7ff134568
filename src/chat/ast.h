// A parsed template. Nodes lie in the pools of their Tree and point at each other; names are numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chat/value.h"

namespace trireme::jinja {

enum class Op : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,  // dict: key, value, key, value, ...
  negative,
  positive,
  invert,
  both,
  either,  // invert, both, either: not, and, or
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  concat,
  compare,  // operands with `compares` between them
  less,
  less_equal,
  greater,
  greater_equal,
  equal,
  unequal,
  in,
  not_in,
  attribute,
  item,
  slice,
  filter,
  test,
  call,
  condition,  // condition: test, then, else (or null)
};

struct Expr;

struct KeywordArg {
  std::string_view name;
  Expr* value;
};

struct Expr {
  Op op;
  int line;
  std::string_view text = {};    // name of an attribute, a filter or a test
  Value value = {};              // of a constant
  int name = -1;                 // of a variable
  std::vector<Expr*> args = {};  // operands; what is filtered or called comes first
  std::vector<Op> compares = {};
  std::vector<KeywordArg> named = {};
  Expr* star = nullptr;  // f(*star, **star_star)
  Expr* star_star = nullptr;
  const Builtin* builtin = nullptr;  // the filter or test; null: there is none of this name
};

enum class Do : uint8_t {
  text,
  output,
  branch,
  loop,
  assign,
  capture,
  macro,
  call,
  filter,
  with,
  block,
  generation,
  stop,
  next,
};

/// What an assignment writes to: a name, an attribute of a namespace, or several of these.
struct Target {
  int name = -1;
  std::string_view attribute = {};
  std::vector<Target> parts = {};
};

struct Stmt;
using Body = std::vector<Stmt*>;

struct Param {
  int name;
  std::string_view text;
  Expr* fallback;  // or null
};

struct Branch {
  Expr* test;  // null: else
  Body body;
};

struct Stmt {
  Do act;
  int line;
  std::string_view text = {};     // of Do::text; the name of a macro
  int name = -1;                  // of a macro
  std::vector<Expr*> exprs = {};  // output: what to print; with: the values
  Expr* expr = nullptr;           // what to loop over, assign or call; the filters of capture and filter
  Expr* test = nullptr;           // of a loop: for ... if test
  Target target = {};
  std::vector<Target> targets = {};  // of with
  std::vector<Param> params = {};    // of macro and call
  std::vector<Branch> branches = {};
  Body body = {}, otherwise = {};          // otherwise: else of a loop
  std::vector<int> hidden = {};            // names that are undefined where the scope of `body` begins (scopes.h)
  std::vector<int> otherwise_hidden = {};  // and that of `otherwise`
  bool recursive = false;                  // of a loop
  bool takes_named = false, takes_rest = false, takes_caller = false;  // macro: uses kwargs, varargs, caller
};

struct Tree {
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  std::deque<std::string> texts;  // all names, constants and template data
  std::unordered_map<std::string_view, int> names;
  std::vector<std::string_view> name_texts;
  Body body;
  std::vector<int> hidden;  // as of a Stmt

  std::string_view keep(std::string text) { return texts.emplace_back(std::move(text)); }
  /// The number of a name, a new one where it is new.
  int intern(std::string_view name) {
    const auto found = names.find(name);
    if (found != names.end()) return found->second;
    name_texts.push_back(keep(std::string(name)));
    names.emplace(name_texts.back(), static_cast<int>(name_texts.size()) - 1);
    return static_cast<int>(name_texts.size()) - 1;
  }
};

}  // namespace trireme::jinja
