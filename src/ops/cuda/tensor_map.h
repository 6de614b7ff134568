// Matrices as the copy engine of compute capability 9.0 knows them (CUDA driver API, "Tensor Map Object Management").
#pragma once

#include <cuda.h>

#include "tensor/tensor.h"

namespace trireme::cuda {

/// Whether boxes can be fetched from it: a matrix of bf16 whose rows begin at multiples of 16 bytes.
bool has_boxes(const Tensor& t);

/// Boxes of (rows, cols) of `t`, cols 64 or 32, whose 16 bytes are swizzled as products want them; what lies beyond the
/// matrix is fetched as zeros and not put. DeviceError where the driver has no such thing.
CUtensorMap map_of(const Tensor& t, int rows, int cols = 64);

}  // namespace trireme::cuda
