// Template text to a tree of nodes, as jinja2's parser reads it, with the tags of chat templates: generation, break
// and continue. What loads other templates (include, import, extends) is refused.
#pragma once

#include <string_view>

#include "chat/ast.h"

namespace trireme::jinja {

/// TemplateError names the line of what is wrong.
void parse_template(std::string_view source, Tree& tree);

}  // namespace trireme::jinja
