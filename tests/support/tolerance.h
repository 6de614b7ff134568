// Error bounds that follow from the arithmetic, never from what a kernel happened to reach.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/dtype.h"

namespace trireme::testing {

/// Bound on |computed - exact| for a sum of `terms` products, added in f32 in any order and stored as `out`.
/// `magnitude` is the sum of the absolute values of the products, `exact` the result. (Higham, Accuracy and
/// Stability of Numerical Algorithms, section 3.1: one rounding for each product and each sum.)
inline double sum_bound(int64_t terms, double magnitude, double exact, DType out) {
  const double unit = dtype_epsilon(DType::f32) / 2;
  const double storage = out == DType::f32 ? 0 : dtype_epsilon(out) / 2;
  const double sum = static_cast<double>(terms + 2) * unit * magnitude;
  return sum + storage * (std::abs(exact) + sum) + (out == DType::f16 ? 0x1p-25 : 0);  // f16: half of its least step
}

/// ||got - want|| / ||want||, the same whatever the scale of the numbers; NaN where any value is. Where `want` may be
/// all zeros by cancellation, `least_norm` says what size the sums had.
inline double relative_error(const std::vector<double>& got, const std::vector<double>& want,
                             double least_norm = 1e-300) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(got.at(i) - want[i], 2);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), least_norm);
}

}  // namespace trireme::testing
