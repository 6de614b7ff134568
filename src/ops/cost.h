// What the dispatchers share besides the checks of ops/check.h: byte counts and vector checks.
#pragma once

#include "ops/check.h"
#include "ops/measured.h"

namespace trireme {

/// Bytes of all defined tensors: what an op that touches each once moves.
template <class... Tensors>
double bytes_of(const Tensors&... tensors) {
  return (0.0 + ... + (tensors.defined() ? static_cast<double>(tensors.bytes()) : 0.0));
}

/// A contiguous tensor of `n` elements of `dtype`, of any rank.
inline void check_vector(const char* op, const char* name, const Tensor& t, int64_t n, DType dtype) {
  check_dtype(op, name, t, dtype);
  CHECK(t.defined() && t.contiguous() && t.numel() == n, op, ": ", name, " is ", t.str(), ", expected ", n,
        " contiguous values");
}

/// What is to be measured can be.
inline void check_measured(const char* op, const Measured& x) {
  if (!x.largest.defined()) return;
  check_dtype(op, "what is measured", x.values, DType::bf16);
  CHECK(x.values.contiguous(), op, ": what is measured is ", x.values.str(), ", expected contiguous");
  check_vector(op, "the largest magnitude", x.largest, 1, DType::f32);
}

}  // namespace trireme
