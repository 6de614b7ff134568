// CUDA kernel of the rotary positions; the contract is in ops/rope.h.
#pragma once

#include <algorithm>

#include "base/numeric.h"
#include "tensor/ctx.h"

namespace trireme::cuda {

/// A position outside the table makes NaNs.
void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse);

/// Whether there is a kernel that also sums rows: of 16-bit elements in whole packs.
inline bool sums_in_rope(const Tensor& x, const Tensor& table) {
  const auto packed = [](int64_t elements) { return elements % 8 == 0; };
  return x.dtype != DType::f32 && packed(x.size(2) / 2) && packed(x.stride(0)) &&
         reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && reinterpret_cast<uintptr_t>(table.data) % 16 == 0;
}

/// How that kernel deals out its work: pairs of packs over the threads of `columns` blocks, and tokens, in `parts`
/// runs, over `rows` of a block and over blocks. Some three blocks for each processor of the largest GPUs; whatever the
/// GPU.
struct RopeGrid {
  explicit RopeGrid(const Tensor& x) : pairs(x.size(1) * x.size(2) / 16) {
    columns = ceil_div(pairs, int64_t{256});
    threads = ceil_div(pairs, columns);
    rows = std::max<int64_t>(1, 256 / threads);
    blocks = std::clamp<int64_t>(ceil_div(x.size(0), 8 * rows), 1, std::max<int64_t>(1, 396 / columns));
  }
  int64_t pairs, columns, threads, rows, blocks;
};
inline int64_t rope_parts(const Tensor& x) { return RopeGrid(x).blocks * RopeGrid(x).rows; }

/// partial (rope_parts(x), H D) f32: scratch.
void rope_with_sums(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse,
                    const Tensor& sums, const Tensor& partial);

}  // namespace trireme::cuda
