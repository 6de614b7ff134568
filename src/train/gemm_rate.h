// The machine's rate for large matrix products: what a step's speed is compared with.
#pragma once

#include "tensor/ctx.h"

namespace trireme {

/// FLOP/s of large products of `dtype`, the best of some, on the device and threads of `where`: on the CPU 1024 cubed,
/// about 20 ms each on two cores; on a GPU 8192 cubed.
double measure_gemm_rate(const Ctx& where, DType dtype);

}  // namespace trireme
