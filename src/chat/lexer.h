// Template text to tokens, with jinja2's rules for white space: trim_blocks and lstrip_blocks on, as chat templates
// are rendered, and the signs - and + of tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/ast.h"

namespace trireme::jinja {

enum class Token : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  text,
  integer,
  real,
  sign,
  end
};

struct Lexeme {
  Token type;
  int line;
  std::string_view text = {};  // data, name, unescaped string, or the operator itself
  Value value = {};            // of a number
};

/// All tokens of `source`, which is UTF-8, with a last one of type `end`. Texts live in `tree`. TemplateError names the
/// line of what is no token.
std::vector<Lexeme> tokenize(std::string_view source, Tree& tree);

}  // namespace trireme::jinja
