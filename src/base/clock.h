// base: time for measuring how long something takes; it has no date and never goes back.
#pragma once

#include <chrono>

namespace trireme {

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace trireme
