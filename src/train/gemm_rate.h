// The machine's rate for large f32 matrix products: what a step's speed is compared with.
#pragma once

#include "base/thread_pool.h"

namespace trireme {

/// FLOP/s of `repeats` products of 1024 x 1024 x 1024 on all threads of the pool, the best one. About 20 ms each on two
/// cores.
double measure_gemm_rate(ThreadPool& pool, int repeats = 3);

}  // namespace trireme
