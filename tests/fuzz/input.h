// How targets take an input apart, and what a parser may answer to it.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace trireme {

/// What comes before the next \0 of `rest`, which goes on behind it.
inline std::string_view take_part(std::string_view& rest) {
  const std::string_view part = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

/// Runs `fn`, which may refuse its input with an IoError or ConfigError and with nothing else.
template <class Fn>
void attempt(Fn fn) {
  try {
    fn();
  } catch (const IoError&) {
  } catch (const ConfigError&) {}
}

}  // namespace trireme
