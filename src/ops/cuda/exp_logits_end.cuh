// How tiles of x . W^T end with cross-entropy (tile_product.cuh, linear_cross_entropy.h): exponentials of the logits
// less their row's reference are written as bf16, and summed as they were before that.
#pragma once

#include "ops/cuda/linear_cross_entropy.h"
#include "ops/cuda/logits.cuh"
#include "ops/cuda/tile_product.cuh"

namespace trireme::cuda {

class ExpLogits {
 public:
  struct Args {
    CUtensorMap g;  // boxes of (128, 64)
    float *partial, *above;
    int32_t* again;
    const float* target_logit;
    const int32_t* targets;
    int rows, cols;
    bool second;  // all once more, now with `above`, where a first time set `again`
  };
  static constexpr bool kAcross = false;
  static constexpr int kCols = kCrossEntropyColumns, kBarriers = 0, kBytes = 2 * 2 * kBoxBytes;
  static __device__ int b_row(int col, int half) { return col + half * 96; }
  static __device__ bool is_idle(const Args& args) { return args.second && *args.again == 0; }

  __device__ ExpLogits(const Args& args, const Corner& corner)
      : args_(args), corner_(corner), row_(corner.thread / kWarp * 16 + corner.thread % kWarp / 4) {}

  /// References and targets of the four rows that this thread has sums of.
  __device__ void begin(Tile tile) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = row_of(tile, r);
      const bool there = row < args_.rows;
      const float above = there && args_.second ? args_.above[row] : 0;
      offset_[r] = there ? offset_of(args_.target_logit[row] + above) : 0;
      target_[r] = there ? args_.targets[row] - tile.col : -1;
    }
  }

  __device__ void end(TileSums& d, Tile tile) {
    const int left = args_.cols - tile.col;
    const auto has = [](int target) { return target >= 0 && target < kCols; };
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int* target = target_ + 2 * half;
      if (left < kCols) leave_out(d[half], [=](int col, int) { return col >= left; });
      if (has(target[0]) || has(target[1])) leave_out(d[half], [=](int col, int r) { return col == target[r]; });
    }
    float sum[kRows] = {};
#pragma unroll
    for (int c = 0; c < kCols / 64; ++c) {
      const uint32_t boxes = corner_.bytes + c % 2 * 2 * kBoxBytes;
      if (c != 1) {
        if (corner_.thread == 0) hopper::wait_for_reads();
        hopper::wait_in_group(corner_.group);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        hopper::Words<8> words;
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const int i = 32 * c + 4 * j + 2 * r, row = 2 * half + r;
            const float low = exp_of(d[half][i], offset_[row]), high = exp_of(d[half][i + 1], offset_[row]);
            sum[row] += low + high;
            words[j][r] = word_of<Bf16>(low, high);
          }
        hopper::write_box<64>(boxes + half * kBoxBytes, 0, words, corner_.thread);
      }
      hopper::fence_for_put();
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) hopper::put(args_.g, tile.col + 64 * c, tile.row, boxes);
      __syncwarp();
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      sum[r] = reduce_lanes(sum[r], 4);
      const int row = row_of(tile, r);
      if (row >= args_.rows) continue;
      if (corner_.thread % 4 == 0) args_.partial[int64_t{tile.col / kCols} * args_.rows + row] = sum[r];
      if (!(sum[r] <= kLargest) && !args_.second) note(d[r / 2], r % 2, row);
    }
    __syncwarp();
  }

 private:
  static constexpr int kRows = 4;  // of a tile, that a thread has sums of
  __device__ int row_of(Tile tile, int r) const { return tile.row + row_ + r % 2 * 8 + r / 2 * 64; }

  /// Of a tile's exponentials in a row. Beyond it they might overflow; below, they and the reciprocal of their sum are
  /// far from the ends of what a float holds.
  static constexpr float kLargest = 0x1p64F;

  /// Columns for which `is_left_out(column of the tile, 0 or 1: row of this thread)` count as -inf.
  template <class F>
  __device__ void leave_out(hopper::Sums& d, F is_left_out) const {
#pragma unroll
    for (int i = 0; i < hopper::kCols / 2; ++i) {
      const int col = i / 4 * 8 + corner_.thread % 4 * 2 + i % 2;
      if (is_left_out(col, i / 2 % 2)) d[i] = minus_infinity();
    }
  }

  /// How far the largest logit is above the target's: positive, so that floats compare as integers. Not a NaN.
  __device__ void note(const hopper::Sums& d, int r, int row) const {
    float largest = minus_infinity();
#pragma unroll
    for (int i = 0; i < hopper::kCols / 2; ++i)
      if (i / 2 % 2 == r) largest = fmaxf(largest, d[i]);
    const float above = largest - args_.target_logit[row];
    if (!(above > 0)) return;
    atomicMax(reinterpret_cast<int*>(args_.above) + row, __float_as_int(above));
    *args_.again = 1;
  }

  const Args& args_;
  const Corner corner_;
  const int row_;  // of the tile: the first of this thread's
  float offset_[kRows];
  int target_[kRows];  // columns of the tile, or outside it
};

}  // namespace trireme::cuda
