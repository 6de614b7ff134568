// YAML text to the value tree of base/json.h, and back.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace trireme {

/// Parses one YAML document (core schema scalars: null, true/false, integers, reals such as 6e-4).
/// ConfigError naming `where` and the line; aliases, duplicate keys and nesting beyond 64 are refused.
Json parse_yaml(std::string_view text, std::string_view where);

/// Block-style YAML of the tree, which parse_yaml reads back to an equal tree.
std::string dump_yaml(const Json& value);

}  // namespace trireme
