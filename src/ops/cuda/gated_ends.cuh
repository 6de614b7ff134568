// How tiles of a product end with SwiGLU or its backward (tile_product.cuh): gate and up are written forward and read
// backward while the tensor cores are at the next tile.
#pragma once

#include "ops/cuda/logistic.cuh"
#include "ops/cuda/tile_words.cuh"

namespace trireme::cuda {

/// x . W^T, whose halves of b are gate and up. A tile has 96 columns of each: rounded, written, and SwiGLU of what was
/// written.
class GatedForward {
  static constexpr int kBoxCols = 32, kBox = 64 * kBoxCols * 2;

 public:
  struct Args {
    CUtensorMap gate, up, act;  // boxes of (64, 32)
  };
  static constexpr bool kAcross = false;
  static constexpr int kCols = 96, kBarriers = 0, kBytes = 2 * 3 * kBox;
  static __device__ int b_row(int col, int) { return col; }

  __device__ GatedForward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile) const {}
  __device__ void end(const TileSums& d, Tile tile) const {
    TileWords words;
    round_sums(words, d);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int half = part / 3, c = part % 3;
      const uint32_t box = corner_.bytes + part % 2 * 3 * kBox;  // which those of the last part but one have left
      if (corner_.thread == 0) hopper::wait_for_reads<3>();
      hopper::wait_in_group(corner_.group);
      write(box, words[half], kGroups * c);
      hopper::fence_for_put();
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) {
        const int col = tile.col + kBoxCols * c, row = tile.row + 64 * half;
        hopper::put(args_.gate, col, row, box);
        hopper::put(args_.up, col, row, box + kBox);
        hopper::put(args_.act, col, row, box + 2 * kBox);
      }
      __syncwarp();
    }
  }

 private:
  static constexpr int kParts = 6;              // of a tile: 64 x 32
  static constexpr int kGroups = kBoxCols / 8;  // of 8 columns, of a part

  /// Gate, up and SwiGLU of a part, whose gate is in the groups from `first`.
  __device__ void write(uint32_t box, const hopper::Words<kTileGroups>& words, int first) const {
    hopper::Words<kGroups> gate, up, act;
#pragma unroll
    for (int j = 0; j < kGroups; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        gate[j][r] = words[first + j][r];
        up[j][r] = words[kTileGroups / 2 + first + j][r];
        const float2 g = halves_of<Bf16>(gate[j][r]), u = halves_of<Bf16>(up[j][r]);
        act[j][r] = word_of<Bf16>(swiglu(g.x, u.x), swiglu(g.y, u.y));
      }
    hopper::write_box<kBoxCols>(box, 0, gate, corner_.thread);
    hopper::write_box<kBoxCols>(box + kBox, 0, up, corner_.thread);
    hopper::write_box<kBoxCols>(box + 2 * kBox, 0, act, corner_.thread);
  }

  const Args& args_;
  const Corner corner_;
};

/// dy . W. The gradient of the activation is rounded; its product with that of SwiGLU takes the place of gate and up.
class GatedBackward {
  static constexpr int kGroups = 4;  // of 8 columns at once
  using Words = hopper::Words<kGroups>;

 public:
  struct Args {
    CUtensorMap gate, up;  // boxes of (64, 64)
  };
  static constexpr bool kAcross = true;
  static constexpr int kCols = 192, kBarriers = 2, kBytes = 2 * 2 * kBoxBytes;

  __device__ GatedBackward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile tile) const {
    if (corner_.thread == 0) {
      hopper::wait_for_reads();
      load(tile, 0);
      load(tile, 1);
    }
    __syncwarp();
  }
  __device__ void end(const TileSums& d, Tile tile) {
    TileWords words;
    round_sums(words, d);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const uint32_t gate = boxes(part), up = gate + kBoxBytes;
      wait_for_phase(loaded(part), (phase_ + part / 2) & 1);
#pragma unroll
      for (int first = 0; first < 8; first += kGroups) multiply(gate, up, first, words[part / 3], part % 3 * 8 + first);
      hopper::fence_for_put();
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) {
        const int col = col_of(tile, part), row = row_of(tile, part);
        hopper::put(args_.gate, col, row, gate);
        hopper::put(args_.up, col, row, up);
        if (part + 2 < kParts) {
          hopper::wait_for_reads();
          load(tile, part + 2);
        }
      }
      __syncwarp();
    }
    phase_ ^= kParts / 2 & 1;
  }

 private:
  static constexpr int kParts = 6;  // of a tile: 64 x 64, which take turns in two pairs of boxes
  static __device__ int row_of(Tile tile, int part) { return tile.row + part / 3 * 64; }
  static __device__ int col_of(Tile tile, int part) { return tile.col + part % 3 * 64; }
  __device__ uint32_t boxes(int part) const { return corner_.bytes + part % 2 * 2 * kBoxBytes; }
  __device__ uint32_t loaded(int part) const { return corner_.barriers + part % 2 * 8; }

  /// Asks for gate and up of a part.
  __device__ void load(Tile tile, int part) const {
    const int col = col_of(tile, part), row = row_of(tile, part);
    arrive_and_expect(loaded(part), 2 * kBoxBytes);
    hopper::fetch(boxes(part), args_.gate, col, row, loaded(part));
    hopper::fetch(boxes(part) + kBoxBytes, args_.up, col, row, loaded(part));
  }

  /// Gate and up of the groups from `first` of a part become their gradients; SwiGLU's is in the words from `dy_first`.
  __device__ void multiply(uint32_t gate_box, uint32_t up_box, int first, const hopper::Words<kTileGroups>& words,
                           int dy_first) const {
    Words gate, up;
    hopper::read_box<64>(gate, gate_box, first, corner_.thread);
    hopper::read_box<64>(up, up_box, first, corner_.thread);
#pragma unroll
    for (int j = 0; j < kGroups; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float2 dy = halves_of<Bf16>(words[dy_first + j][r]);
        const float2 g = halves_of<Bf16>(gate[j][r]), u = halves_of<Bf16>(up[j][r]);
        const SwigluGradient x = swiglu_gradient(dy.x, g.x, u.x), y = swiglu_gradient(dy.y, g.y, u.y);
        gate[j][r] = word_of<Bf16>(x.gate, y.gate);
        up[j][r] = word_of<Bf16>(x.up, y.up);
      }
    hopper::write_box<64>(gate_box, first, gate, corner_.thread);
    hopper::write_box<64>(up_box, first, up, corner_.thread);
  }

  const Args& args_;
  const Corner corner_;
  uint32_t phase_ = 0;  // of the loads of the next tile's first parts
};

}  // namespace trireme::cuda
