// Shape and dtype checks shared by the op dispatchers. A failure is a Bug: users cannot cause it.
#pragma once

#include "tensor/tensor.h"

namespace trireme {

inline void check_shape(const char* op, const char* name, const Tensor& t, const Shape& want) {
  CHECK(t.shape == want, op, ": ", name, " is ", t.str(), ", expected shape ", want.str());
}
inline void check_dtype(const char* op, const char* name, const Tensor& t, DType want) {
  CHECK(t.dtype == want, op, ": ", name, " is ", t.str(), ", expected ", dtype_name(want));
}
/// f32, bf16 or f16 with unit stride in the last dimension.
inline void check_rows(const char* op, const char* name, const Tensor& t) {
  CHECK(t.dtype == DType::f32 || t.dtype == DType::bf16 || t.dtype == DType::f16, op, ": ", name, " is ", t.str());
  CHECK(t.rank() >= 1 && (t.stride(t.rank() - 1) == 1 || t.size(t.rank() - 1) <= 1), op, ": ", name, " ", t.str(),
        " has a strided last dimension");
}

}  // namespace trireme
