// What one rendering of a template may cost.
#pragma once

#include <cstdint>

namespace trireme::jinja {

struct Limits {
  int64_t steps = 50'000'000;           // units of work: about a second
  int64_t memory = int64_t{256} << 20;  // bytes of all values and texts
  int64_t output = int64_t{64} << 20;   // bytes of the result
  int depth = 600;                      // nested evaluations, macro calls and values
};

inline constexpr int64_t kMaxTemplateBytes = int64_t{1} << 20;

}  // namespace trireme::jinja
