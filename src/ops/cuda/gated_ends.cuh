// How tiles of a product end with SwiGLU or its backward (tile_product.cuh): gate and up are written forward and read
// backward while the tensor cores are at the next tile.
#pragma once

#include "ops/cuda/logistic.cuh"
#include "ops/cuda/tile_product.cuh"

namespace trireme::cuda {

/// x . W^T. A tile has 128 columns of gate and the same of up: rounded, written, and SwiGLU of what was written.
class GatedForward {
  using Words = hopper::Words;

 public:
  struct Args {
    CUtensorMap gate_up, act;  // boxes of (64, 64)
    int up;                    // the first column of up
  };
  static constexpr bool kAcross = false;
  static constexpr int kCols = 128, kStages = 5, kBoxes = 1, kBarriers = 0, kBytes = 0;
  static __device__ int b_row(const Args& args, int col, int half) { return col + half * args.up; }

  __device__ GatedForward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile) const {}
  __device__ void end(const hopper::Sums& d, Tile tile) const {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      Words gate, up;
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int i = 32 * c + 4 * j + 2 * r;
          gate[j][r] = word_of<Bf16>(d[i], d[i + 1]);
          up[j][r] = word_of<Bf16>(d[64 + i], d[64 + i + 1]);
        }
      const int col = tile.col + 64 * c;
      put_words(args_.gate_up, col, tile.row, gate, corner_);
      put_words(args_.gate_up, args_.up + col, tile.row, up, corner_);
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float2 g = halves_of<Bf16>(gate[j][r]), u = halves_of<Bf16>(up[j][r]);
          gate[j][r] = word_of<Bf16>(swiglu(g.x, u.x), swiglu(g.y, u.y));
        }
      put_words(args_.act, col, tile.row, gate, corner_);
    }
  }

 private:
  const Args& args_;
  const Corner corner_;
};

/// dy . W. The gradient of the activation is rounded; its product with that of SwiGLU takes the place of gate and up.
class GatedBackward {
  using Words = hopper::Words;

 public:
  struct Args {
    CUtensorMap gate_up;  // boxes of (64, 64)
    int up;               // the first column of up
  };
  static constexpr bool kAcross = true;
  static constexpr int kCols = 256, kStages = 4, kBoxes = 4, kBarriers = 2, kBytes = 0;

  __device__ GatedBackward(const Args& args, const Corner& corner) : args_(args), corner_(corner) {}
  __device__ void begin(Tile tile) const {
    if (corner_.thread == 0) {
      hopper::wait_for_reads();
      load(tile, 0);
      load(tile, 1);
    }
    __syncwarp();
  }
  __device__ void end(const hopper::Sums& d, Tile tile) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const uint32_t at = boxes(c);
      Words gate, up;
      wait_for_phase(loaded(c), c / 2);
      hopper::read_box(gate, at, corner_.thread);
      hopper::read_box(up, at + kBoxBytes, corner_.thread);
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int i = 32 * c + 4 * j + 2 * r;
          const float2 dy = halves_of<Bf16>(word_of<Bf16>(d[i], d[i + 1]));
          const float2 g = halves_of<Bf16>(gate[j][r]), u = halves_of<Bf16>(up[j][r]);
          const SwigluGradient x = swiglu_gradient(dy.x, g.x, u.x), y = swiglu_gradient(dy.y, g.y, u.y);
          gate[j][r] = word_of<Bf16>(x.gate, y.gate);
          up[j][r] = word_of<Bf16>(x.up, y.up);
        }
      hopper::write_box(at, gate, corner_.thread);
      hopper::write_box(at + kBoxBytes, up, corner_.thread);
      hopper::fence_for_put();
      hopper::wait_in_group(corner_.group);
      if (corner_.thread == 0) {
        const int col = tile.col + 64 * c;
        hopper::put(args_.gate_up, col, tile.row, at);
        hopper::put(args_.gate_up, args_.up + col, tile.row, at + kBoxBytes);
        if (c < 2) {
          hopper::wait_for_reads();
          load(tile, c + 2);
        }
      }
      __syncwarp();
    }
  }

 private:
  __device__ uint32_t boxes(int c) const { return corner_.boxes + c % 2 * 2 * kBoxBytes; }
  __device__ uint32_t loaded(int c) const { return corner_.barriers + c % 2 * 8; }

  /// Asks for gate and up of a quarter of the tile.
  __device__ void load(Tile tile, int c) const {
    const int col = tile.col + 64 * c;
    arrive_and_expect(loaded(c), 2 * kBoxBytes);
    hopper::fetch(boxes(c), args_.gate_up, col, tile.row, loaded(c));
    hopper::fetch(boxes(c) + kBoxBytes, args_.gate_up, args_.up + col, tile.row, loaded(c));
  }

  const Args& args_;
  const Corner corner_;
};

}  // namespace trireme::cuda
