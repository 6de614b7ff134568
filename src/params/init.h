// Initial values as a pure function of (seed, parameter name, global element index), so that every layout of
// ranks starts from the same numbers.
#pragma once

#include "base/thread_pool.h"
#include "params/spec.h"

namespace trireme {

/// Fills param.value (bound) with its initial values. A tied parameter gets those of its owner.
void init_param(const Param& param, uint64_t seed, ThreadPool& pool);

}  // namespace trireme
