// What can be done with values: Python's operators, comparisons, truth, length, iteration and subscripts, with its
// errors. Integers have 64 bits; what does not fit is an error.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "chat/ast.h"
#include "chat/run.h"

namespace trireme::jinja {

/// Python's name of the type: "str", "NoneType".
std::string_view type_name(const Value& v);
/// As an undefined value names its owner: "'dict object'".
std::string_view owner_name(const Value& v);
/// Why `v` is undefined.
std::string reason(Run& run, const Value& v);
/// An error that says why, where `v` is undefined.
void require_defined(Run& run, const Value& v);

bool truth(const Value& v);
bool equal(Run& run, const Value& a, const Value& b);
/// The same object, as far as templates can tell.
bool same(const Value& a, const Value& b);
/// One of < <= > >= == != in, not in.
bool compare(Run& run, Op op, const Value& a, const Value& b);
bool contains(Run& run, const Value& container, const Value& item);

/// One of + - * / // % **.
Value arithmetic(Run& run, Op op, const Value& a, const Value& b);
Value negate(Run& run, const Value& v);
Value positive(Run& run, const Value& v);

int64_t length(Run& run, const Value& v);
bool is_iterable(const Value& v);
/// All elements: characters, items, keys. A generator is used up.
std::span<const Value> elements(Run& run, const Value& v);
/// The next element of a generator; false at its end.
bool next_element(Run& run, Generator& generator, Value& out);

/// An error for what cannot be a key: lists and dicts.
void require_hashable(Run& run, const Value& key);
const Value* find_key(Run& run, const Dict& dict, const Value& key);
/// The entries in order, a later one in the place of an equal earlier one. Charges as a dict with hashing would.
Value make_dict(Run& run, std::span<const Entry> entries);

/// owner[key] and owner.name with the rules of jinja2's sandbox: what is not there is undefined.
Value get_item(Run& run, const Value& owner, const Value& key);
/// Without `members`, what Python has as an attribute of the type only, not the entries of a dict.
Value get_attribute(Run& run, const Value& owner, std::string_view name, bool members = true);
/// owner[start:stop:step]; none stands for a bound that is left out.
Value slice(Run& run, const Value& owner, const Value& start, const Value& stop, const Value& step);

/// range(start, stop, step) as a value.
Value make_range(Run& run, int64_t start, int64_t stop, int64_t step);

/// A method of a value's type; undefined where there is none of that name.
Value find_method(Run& run, const Value& owner, std::string_view name);

}  // namespace trireme::jinja
