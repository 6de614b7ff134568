// Values of a template, as Python has them: small, copied freely, and owning nothing. What they point to lies in the
// Run that made them (run.h) or in the messages and template it renders, and is never changed, but for namespaces,
// loops and what a generator has left: the sandbox of chat templates allows no other change.
#pragma once

#include <cstdint>
#include <string_view>

namespace trireme::jinja {

struct Value;
struct Run;
struct Call;
struct Stmt;

enum class Kind : uint8_t {
  undefined,  // what is not there
  none,
  boolean,
  integer,
  real,
  string,  // UTF-8
  list,
  tuple,
  view,  // dict_keys, dict_values, dict_items: iterable and counted, but not a sequence
  range,
  generator,  // of map, select and the like: passed over once
  dict,
  space,  // namespace(...)
  loop,
  callable,
};

struct Sequence {
  const Value* data = nullptr;
  int64_t size = 0;
  std::string_view name = "list";         // of its type, for people
  int64_t start = 0, stop = 0, step = 1;  // of a range
};

struct Generator {
  const Value* data = nullptr;
  int64_t size = 0;
  int64_t next = 0;
  std::string_view failure = {};  // the error that the element after the last one raises
};

struct Entry;

struct Dict {
  const Entry* data = nullptr;
  int64_t size = 0;
};

struct Namespace {
  Entry* data = nullptr;
  int64_t size = 0, capacity = 0;
};

/// Why a value is undefined, for the error that using it raises.
struct Missing {
  std::string_view hint;   // the whole reason, or empty:
  std::string_view owner;  // what has no such member; empty: a variable
  const Value* name;
  bool attribute;  // asked for as owner.name
};

struct Loop;
struct Callable;

struct Value {
  Kind kind = Kind::undefined;
  union {
    const Missing* missing;
    bool boolean;
    int64_t integer;
    double real;
    std::string_view text;
    const Sequence* items;
    Generator* generator;
    const Dict* dict;
    Namespace* space;
    Loop* loop;
    const Callable* callable;
  };

  Value() : missing(nullptr) {}
  Value(bool v) : kind(Kind::boolean), boolean(v) {}          // NOLINT
  Value(int64_t v) : kind(Kind::integer), integer(v) {}       // NOLINT
  Value(double v) : kind(Kind::real), real(v) {}              // NOLINT
  Value(std::string_view v) : kind(Kind::string), text(v) {}  // NOLINT
  Value(const char*) = delete;                                // would become a bool
  Value(int) = delete;
  Value(Kind k, const Sequence* v) : kind(k), items(v) {}
  Value(Generator* v) : kind(Kind::generator), generator(v) {}     // NOLINT
  Value(const Dict* v) : kind(Kind::dict), dict(v) {}              // NOLINT
  Value(Namespace* v) : kind(Kind::space), space(v) {}             // NOLINT
  Value(Loop* v) : kind(Kind::loop), loop(v) {}                    // NOLINT
  Value(const Callable* v) : kind(Kind::callable), callable(v) {}  // NOLINT
  static Value none() {
    Value v;
    v.kind = Kind::none;
    return v;
  }

  bool is(Kind k) const { return kind == k; }
  bool is_sequence() const { return kind == Kind::list || kind == Kind::tuple || kind == Kind::range; }
  bool is_number() const { return kind == Kind::boolean || kind == Kind::integer || kind == Kind::real; }
  bool is_integral() const { return kind == Kind::boolean || kind == Kind::integer; }
  int64_t as_int() const { return kind == Kind::boolean ? int64_t{boolean} : integer; }         // of is_integral()
  double as_real() const { return kind == Kind::real ? real : static_cast<double>(as_int()); }  // of is_number()
};

struct Entry {
  Value key, value;
};

/// The variable `loop` of a for statement. With a condition (`for ... if`), elements are taken as they are needed,
/// because the body may change what the condition sees.
struct Loop {
  Value* data;  // elements taken so far, with room for all
  int64_t size;
  bool (*more)(Loop& loop) = nullptr;  // takes one more element; null: all are there
  int64_t index0 = -1;
  int64_t depth0 = 0;
  Value changed = {};     // the arguments of the last loop.changed()
  void* owner = nullptr;  // of the machine
};

/// A filter, test, method or global function. `self` is what stands before it; undefined for a global.
using Function = Value (*)(Run& run, const Value& self, const Call& call);

/// `params`: names of the parameters in order with a space between them, those that may be missing with a `?` after
/// them; "*" leaves all arguments to the function. `run` is null where Python has it and we do not.
struct Builtin {
  std::string_view name, params;
  Function run;
};

struct Callable {
  const Builtin* builtin = nullptr;
  Value self = {};
  const Stmt* macro = nullptr;  // a statement of the template, with the frame that it was made in
  void* frame = nullptr;
};

}  // namespace trireme::jinja
