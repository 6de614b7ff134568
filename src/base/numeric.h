// Integer helpers that turn silent mistakes into errors.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include "base/error.h"

namespace trireme {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

/// a / b where b must divide a.
inline int64_t div_exact(int64_t a, int64_t b) {
  CHECK(b != 0 && a % b == 0, a, " is not a multiple of ", b);
  return a / b;
}

/// The same value in a narrower integer type.
template <class To, class From>
To narrow(From value) {
  CHECK(std::in_range<To>(value), value, " does not fit");
  return static_cast<To>(value);
}

/// First index of part `rank` when `size` items are dealt to `parts` as evenly as possible.
/// Part r is [part_begin(r), part_begin(r + 1)).
constexpr int64_t part_begin(int64_t size, int64_t parts, int64_t rank) { return size * rank / parts; }

}  // namespace trireme
