// How tiles of a product end with GELU or its backward (tile_product.cuh), in parts of 64 x 64. There are boxes enough
// that the memory works on one part while the next is computed.
#pragma once

#include "ops/cuda/logistic.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/tile_words.cuh"

namespace trireme::cuda {

/// x . W^T + bias, rounded and written, and GELU of what was written.
class GeluForward {
  using Words = hopper::Words<8>;

 public:
  struct Args {
    CUtensorMap before, act;  // boxes of (64, 64)
    const uint32_t* bias;     // words of two columns of bf16, or null
    int cols;
  };
  static constexpr bool kAcross = false;
  static constexpr int kCols = 192, kBarriers = 0, kBytes = 2 * 2 * kBoxBytes;
  static __device__ int b_row(int col, int half) { return col + half * (kCols / 2); }

  __device__ GeluForward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile) const {}
  __device__ void end(const TileSums& d, Tile tile) const {
    TileWords words;
    round_sums(words, d, [&](int j) { return bias_of(tile.col + 8 * j); });
#pragma unroll
    for (int part = 0; part < 6; ++part) {
      const uint32_t box = corner_.bytes + part % 2 * 2 * kBoxBytes;
      Words before, act;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          before[j][r] = words[part % 2][part / 2 * 8 + j][r];
          const float2 x = halves_of<Bf16>(before[j][r]);
          act[j][r] = word_of<Bf16>(gelu(x.x), gelu(x.y));
        }
      hopper::write_box<64>(box, 0, before, corner_.thread);
      hopper::write_box<64>(box + kBoxBytes, 0, act, corner_.thread);
      hopper::fence_for_put();
      if (corner_.thread == 0) hopper::wait_for_reads();  // of the part before, whose boxes the next one takes
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) {
        const int col = tile.col + part / 2 * 64, row = tile.row + part % 2 * 64;
        hopper::put(args_.before, col, row, box);
        hopper::put(args_.act, col, row, box + kBoxBytes);
      }
      __syncwarp();
    }
  }

 private:
  /// Of this thread's two of the eight columns from `col` on.
  __device__ float2 bias_of(int col) const {
    constexpr uint32_t kNegativeZeros = 0x80008000;  // which change nothing that they are added to
    const bool there = args_.bias != nullptr && col < args_.cols;
    return halves_of<Bf16>(there ? __ldg(args_.bias + col / 2 + corner_.thread % 4) : kNegativeZeros);
  }

  const Args& args_;
  const Corner corner_;
};

/// dy . W, rounded, times GELU' of what was in front of GELU; and the sums of what is written over 64 rows.
class GeluBackward {
  using Words = hopper::Words<8>;

 public:
  struct Args {
    CUtensorMap before, gradient;  // boxes of (64, 64): read, written
    float* sums;                   // (rows / 64, columns), or null
    int cols;
  };
  static constexpr bool kAcross = true;
  static constexpr int kParts = 6, kBoxes = 4;  // of a tile, which take turns in them
  static constexpr int kCols = 192, kBarriers = kParts, kBytes = kBoxes * kBoxBytes;

  __device__ GeluBackward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile tile) const {
    if (corner_.thread == 0) {
      hopper::wait_for_reads();
      for (int part = 0; part < kBoxes; ++part) load(tile, part);
    }
    __syncwarp();
  }
  __device__ void end(const TileSums& d, Tile tile) {
    TileWords words;
    round_sums(words, d);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      Words w;
      wait_for_phase(loaded(part), phase_);
      hopper::read_box<64>(w, box(part), 0, corner_.thread);
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float2 dy = halves_of<Bf16>(words[part % 2][part / 2 * 8 + j][r]),
                       x = halves_of<Bf16>(within_ten(w[j][r]));
          w[j][r] = word_of<Bf16>(dy.x * gelu_slope(x.x), dy.y * gelu_slope(x.y));
        }
      hopper::write_box<64>(box(part), 0, w, corner_.thread);
      hopper::fence_for_put();
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) {
        if (part > 0 && part - 1 + kBoxes < kParts) {  // all are done with the part before
          hopper::wait_for_reads();
          load(tile, part - 1 + kBoxes);
        }
        hopper::put(args_.gradient, col_of(tile, part), row_of(tile, part), box(part));
      }
      __syncwarp();
      if (args_.sums != nullptr) add_up(box(part), row_of(tile, part), col_of(tile, part));
    }
    phase_ ^= 1;
    hopper::wait_in_group(corner_.group);  // all are done with what the next tile's takes the place of
  }

 private:
  static __device__ int row_of(Tile tile, int part) { return tile.row + part % 2 * 64; }
  static __device__ int col_of(Tile tile, int part) { return tile.col + part / 2 * 64; }
  __device__ uint32_t box(int part) const { return corner_.bytes + part % kBoxes * kBoxBytes; }
  __device__ uint32_t loaded(int part) const { return corner_.barriers + part * 8; }

  /// Asks for what was in front of GELU in a part.
  __device__ void load(Tile tile, int part) const {
    arrive_and_expect(loaded(part), kBoxBytes);
    hopper::fetch(box(part), args_.before, col_of(tile, part), row_of(tile, part), loaded(part));
  }

  /// A warp sums 16 of a box's columns: a lane two of them, in every fourth pair of rows, which lie in different banks.
  __device__ void add_up(uint32_t box, int row, int col) const {
    const int warp = corner_.thread / kWarp, lane = corner_.thread % kWarp, word = lane % 8, pair = lane / 8;
    float2 sum{};
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      const int first = 2 * pair + odd;
      const uint32_t at = box + first * hopper::kSwizzled + (((2 * warp + word / 4) ^ first) << 4) + word % 4 * 4;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        uint32_t two = 0;
        asm volatile("ld.shared.b32 %0, [%1];" : "=r"(two) : "r"(at + i * hopper::kEight) : "memory");
        const float2 v = halves_of<Bf16>(two);
        sum.x += v.x;
        sum.y += v.y;
      }
    }
    for (int offset = 8; offset < kWarp; offset *= 2) {
      sum.x += __shfl_xor_sync(kAllLanes, sum.x, offset);
      sum.y += __shfl_xor_sync(kAllLanes, sum.y, offset);
    }
    const int at = col + 16 * warp + 2 * word;
    if (pair == 0 && at < args_.cols)
      *reinterpret_cast<float2*>(args_.sums + int64_t{row / 64} * args_.cols + at) = sum;
    __syncwarp();
  }

  const Args& args_;
  const Corner corner_;
  uint32_t phase_ = 0;
};

}  // namespace trireme::cuda
