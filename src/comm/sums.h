// Sums in rank order: every kind of group adds in the same order, so all give the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "comm/group.h"

namespace trireme {

/// out[i] = sources[0][i] op sources[1][i] op ... from left to right, for n elements. `out` may be one of the sources.
template <class T>
void reduce_in_order(T* out, std::span<const T* const> sources, int64_t n, ReduceOp op) {
  constexpr int64_t kBlock = 512;  // stays in the first cache
  T sum[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t m = std::min(kBlock, n - begin);
    std::copy_n(sources[0] + begin, m, sum);
    for (size_t r = 1; r < sources.size(); ++r) {
      const T* source = sources[r] + begin;
      if (op == ReduceOp::sum)
        for (int64_t i = 0; i < m; ++i) sum[i] += source[i];
      else
        for (int64_t i = 0; i < m; ++i) sum[i] = std::max(sum[i], source[i]);
    }
    std::copy_n(sum, m, out + begin);
  }
}

/// Calls fn with a value of the C++ type of a tensor that can be reduced.
template <class Fn>
void with_sum_type(const Tensor& t, Fn fn) {
  CHECK(t.contiguous() && t.device == kCpu && (t.dtype == DType::f32 || t.dtype == DType::f64), "a sum of ", t.str());
  if (t.dtype == DType::f32)
    fn(float{});
  else
    fn(double{});
}

}  // namespace trireme
