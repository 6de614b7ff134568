// The geometry of attention: which keys a query sees, and tiles of queries by keys.
#pragma once

#include <algorithm>
#include <array>

#include "base/numeric.h"
#include "ops/attention_geometry.h"
#include "ops/cpu/blas.h"
#include "ops/cpu/convert.h"
#include "ops/cpu/rows.h"

namespace trireme::cpu {

constexpr int64_t kQueries = 64;  // of a tile
constexpr int64_t kKeys = 128;    // of a tile: also the row stride of a tile of scores

/// The keys that any of the queries [begin, end) sees.
inline Range visible_keys(const Segment& s, const AttentionArgs& args, Range queries) {
  return {visible_keys(s, args, queries.begin).begin, visible_keys(s, args, queries.end - 1).end};
}

/// The columns of a tile of scores that each of its rows sees.
struct VisibleColumns {
  std::array<int32_t, kQueries> begin, end;

  void set(int64_t row, Range keys, Range tile) {
    begin[static_cast<size_t>(row)] = static_cast<int32_t>(std::clamp(keys.begin, tile.begin, tile.end) - tile.begin);
    end[static_cast<size_t>(row)] = static_cast<int32_t>(std::clamp(keys.end, tile.begin, tile.end) - tile.begin);
  }
};

/// Rows [row, row + count) of head `head` of a (N, H, D) tensor.
inline Block head_block(const Tensor& t, int64_t row, int64_t count, int64_t head) {
  char* data = t.as<char>() + (row * t.stride(0) + head * t.stride(1)) * dtype_size(t.dtype);
  return {data, t.dtype, std::max(t.stride(0), t.size(2)), count, t.size(2)};
}

/// The block as an operand of sgemm: in place, or as f32 in `scratch`.
inline GemmOperand as_f32(const Block& b, float* scratch) {
  if (b.dtype == DType::f32) return {static_cast<const float*>(b.data), b.ld, false};
  load_block(scratch, b.cols, b);
  return {scratch, b.cols, false};
}
inline GemmOperand transposed(GemmOperand x) { return {x.data, x.ld, true}; }

/// Cuts a block of scratch into pieces; without a base it only counts.
class ScratchCutter {
 public:
  explicit ScratchCutter(float* base) : base_(base) {}
  float* operator()(int64_t floats) {
    float* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(floats, 16);
    return piece;
  }
  int64_t floats() const { return used_; }

 private:
  float* base_;
  int64_t used_ = 0;
};

/// Work below which attention stays on one thread.
constexpr double kSerialFlops = 5e5;

}  // namespace trireme::cpu
