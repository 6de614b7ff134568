// Which names a scope begins without. jinja2 decides per scope, before anything runs, where each name comes from: one
// that the scope assigns before it reads it, and that no scope around it mentions, does not come from the variables
// of the template, even where an inner scope reads it before the assignment is reached.
#pragma once

#include "chat/ast.h"

namespace trireme::jinja {

/// Fills `hidden` of the tree and of all its statements.
void find_hidden_names(Tree& tree);

}  // namespace trireme::jinja
