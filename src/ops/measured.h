// A tensor with the largest magnitude in it, from which 8-bit floats take their scale (ops/float8.h): whoever writes a
// tensor can leave that along the way, and spares a pass over it.
#pragma once

#include "tensor/arena.h"

namespace trireme {

/// Of an output: `largest`, where defined, is written along with `values`, which are bf16 and contiguous then. Of an
/// input: where undefined, nobody has looked. Most tensors are not measured, so any may be passed as it is.
struct Measured {
  Tensor values;
  Tensor largest;  // (1) f32: the largest magnitude, NaN where one is among the values; 0 of nothing

  Measured(const Tensor& tensor, const Tensor& largest_in_it = {}) : values(tensor), largest(largest_in_it) {}
};

/// An output that is to be measured where that is `wanted`, with room for it.
inline Measured to_measure(Arena& arena, const Tensor& values, bool wanted) {
  return {values, wanted ? arena.take(DType::f32, {1}) : Tensor()};
}

}  // namespace trireme
