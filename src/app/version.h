// The version that `trireme --version` prints: the one of CMakeLists.txt.
#pragma once

#include <string_view>

namespace trireme {

constexpr std::string_view kVersion = "0.1.0";

}  // namespace trireme
