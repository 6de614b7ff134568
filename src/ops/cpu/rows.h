// How the row-wise CPU kernels see a tensor: rows of `cols` elements anywhere in memory, split over threads.
#pragma once

#include <algorithm>

#include "tensor/ctx.h"

namespace trireme::cpu {

/// Columns a kernel handles at a time. Storage types other than f32 pass through f32 buffers of this length on the
/// stack, so that kernels are written once, for f32.
constexpr int64_t kChunk = 512;

/// Elements of work below which a loop stays on one thread.
constexpr int64_t kSerialElements = 16384;

/// The rows of a tensor of rank 1 (one row) to 3, with unit stride in the last dimension.
struct Rows {
  char* base = nullptr;
  DType dtype = DType::f32;
  int64_t count = 0, cols = 0;
  int64_t inner = 0;                           // rows in the second dimension of rank 3
  int64_t outer_stride = 0, inner_stride = 0;  // bytes

  Rows() = default;
  explicit Rows(const Tensor& t) : base(t.as<char>()), dtype(t.dtype), cols(t.size(t.rank() - 1)) {
    const int64_t size = dtype_size(t.dtype);
    inner = t.rank() == 3 ? t.size(1) : 1;
    inner_stride = t.rank() == 3 ? t.stride(1) * size : 0;
    outer_stride = t.rank() >= 2 ? t.stride(0) * size : 0;
    count = t.rank() >= 2 ? t.size(0) * inner : 1;
  }

  /// Address of column `c` of row `r`.
  char* at(int64_t r, int64_t c) const {
    char* row = inner == 1 ? base + r * outer_stride : base + r / inner * outer_stride + r % inner * inner_stride;
    return row + c * dtype_size(dtype);
  }
};

/// f(begin, end) on parts of [0, n), each a multiple of `grain` long but the last.
template <class F>
void parallel(const Ctx& ctx, int64_t n, int64_t grain, F f) {
  if (n <= 0) return;
  if (ctx.pool == nullptr)
    f(int64_t{0}, n);
  else
    ctx.pool->parallel_for(n, grain, [&f](int64_t begin, int64_t end, int) { f(begin, end); });
}

/// f(begin, end, thread) on parts of [0, n) as threads become free; `serial`: on the whole, on this thread.
template <class F>
void parallel_dynamic(const Ctx& ctx, int64_t n, int64_t grain, F f, bool serial = false) {
  if (ctx.pool == nullptr || serial)
    f(int64_t{0}, n, 0);
  else
    ctx.pool->parallel_for_dynamic(n, grain, f);
}

/// The grain of a loop over items of `elements` each.
inline int64_t grain_of(int64_t elements) {
  return std::max<int64_t>(1, kSerialElements / std::max<int64_t>(elements, 1));
}

}  // namespace trireme::cpu
