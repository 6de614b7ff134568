// Counts what the whole program asks of operator new. A test program that includes this has its global
// operator new replaced by a counting one.
#pragma once

#include <cstdint>

namespace trireme::testing {

/// Calls of operator new so far, on every thread.
int64_t num_allocations();

}  // namespace trireme::testing
