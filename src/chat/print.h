// Values as text: Python's str() and repr(), and json.dumps().
#pragma once

#include <string>
#include <string_view>

#include "chat/run.h"

namespace trireme::jinja {

void append_str(Text& out, const Value& v);
void append_repr(Text& out, const Value& v);
/// str(v); no copy where it is one already.
std::string_view as_text(Run& run, const Value& v);
/// repr(v), for errors.
std::string repr_text(Run& run, const Value& v);

/// repr() of a float: the shortest digits that read back to it.
std::string real_text(double value);

struct JsonStyle {
  bool ascii = false;  // \uXXXX for all else
  bool sort_keys = false;
  bool indented = false;
  std::string_view indent = {};  // of one level, where indented
  std::string_view comma = ", ", colon = ": ";
};

/// json.dumps(v). An error where v holds what JSON cannot express.
void append_json(Text& out, const Value& v, const JsonStyle& style);

}  // namespace trireme::jinja
