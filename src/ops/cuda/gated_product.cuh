// The kernel of gated_product.h (compute capability 9.0a).
//
// A block has a warp group that fetches and two that multiply. These take tiles in turns: while one works at the end of
// its tile, the tensor cores are busy with the other's sum. Two blocks, a cluster, have the same columns and bring each
// other half of the weight. Who multiplies follows the ring of stages only in its turn, since a barrier's parity tells
// no more than two rounds of it apart.
#pragma once

#include "ops/cuda/barrier.cuh"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/hopper.cuh"
#include "ops/cuda/logistic.cuh"

namespace trireme::cuda {

struct GatedMaps {
  CUtensorMap rows;     // of the left operand: boxes of (64, 64)
  CUtensorMap weight;   // boxes of (128, 64) forward, (64, 64) backward
  CUtensorMap gate_up;  // boxes of (64, 64): written forward, read and written backward
  CUtensorMap act;      // boxes of (64, 64): written forward
};

struct GatedTiles {
  int rows = 0, cols = 0;  // tiles of both blocks together: 128 rows, kCols columns of gate
  int band = 0;            // rows of tiles walked column by column, so that both operands stay in L2
  int steps = 0;           // of 64 terms
  int up = 0;              // the first column of up
};

template <bool kBackward>
struct GatedShape {
  static constexpr int kCols = kBackward ? 256 : 128;
  static constexpr int kStages = kBackward ? 4 : 5;
  static constexpr int kBoxes = kBackward ? 4 : 1;  // that a warp group works in at the end of a tile
  static constexpr int kBox = 64 * hopper::kSwizzled;
  static constexpr int kStage = 5 * kBox;  // 64 rows, 256 columns of the weight
  static constexpr int kBarriers = 2 * kStages + 2 + 4;
  static constexpr int kBytes = kStages * kStage + 2 * kBoxes * kBox + kBarriers * 8 + 1024;
};
constexpr int kGatedThreads = 384;

template <bool kBackward>
class GatedProduct {
  using Shape = GatedShape<kBackward>;
  using Words = hopper::Words;
  using Sums = hopper::Sums;
  static constexpr int kStages = Shape::kStages, kBox = Shape::kBox;

 public:
  __device__ GatedProduct(const GatedMaps& maps, const GatedTiles& tiles, char* memory)
      : maps_(maps),
        tiles_(tiles),
        stages_((shared_address(memory) + 1023) & ~1023U),  // swizzled boxes begin at multiples of 1024
        boxes_(stages_ + kStages * Shape::kStage),
        full_(boxes_ + 2 * Shape::kBoxes * kBox),
        empty_(full_ + kStages * 8),
        turn_(empty_ + kStages * 8),
        loaded_(turn_ + 16),
        rank_(static_cast<int>(hopper::rank_in_cluster())),
        group_(static_cast<int>(threadIdx.x) / 128),
        thread_(static_cast<int>(threadIdx.x) % 128) {}

  __device__ void make_barriers() const {
    for (int s = 0; s < kStages; ++s) {
      make_barrier(full_ + 8 * s, 1);
      make_barrier(empty_ + 8 * s, 2);  // of the readers in both blocks
    }
    for (int i = 0; i < 6; ++i) make_barrier(turn_ + 8 * i, 1);
    publish_barriers();
  }

  __device__ void fetch_all() {
    for (int t = first_tile(); t < num_tiles(); t += num_pairs()) {
      const Tile tile = tile_of(t);
      for (int k = 0; k < tiles_.steps; ++k, next_stage()) {
        wait_for_phase(empty_ + 8 * stage_, phase_ ^ 1);
        const uint32_t to = stages_ + stage_ * Shape::kStage, barrier = full_ + 8 * stage_;
        arrive_and_expect(barrier, Shape::kStage);
        hopper::fetch(to, maps_.rows, k * 64, tile.row, barrier);
        const uint32_t half = to + (1 + 2 * rank_) * kBox;
        if constexpr (kBackward) {
          const int col = tile.col + rank_ * 128;
          hopper::fetch_for_both(half, maps_.weight, col, k * 64, barrier);
          hopper::fetch_for_both(half + kBox, maps_.weight, col + 64, k * 64, barrier);
        } else {
          hopper::fetch_for_both(half, maps_.weight, k * 64, tile.col + rank_ * tiles_.up, barrier);
        }
      }
    }
  }

  __device__ void multiply_all() {
    const int me = group_ - 1;
    uint32_t round = me ^ 1;  // nobody has to hand the first turn to the first group
    if (me == 1) skip_stages();
    Sums d;
    for (int t = first_tile() + me * num_pairs(); t < num_tiles(); t += 2 * num_pairs()) {
      const Tile tile = tile_of(t);
      if constexpr (kBackward) {
        if (thread_ == 0) {
          hopper::wait_for_reads();
          load(tile, 0);
          load(tile, 1);
        }
        __syncwarp();
      }
      wait_for_phase(turn_ + 8 * me, round);
      round ^= 1;
      sum(d, turn_ + 8 * (me ^ 1));
      skip_stages();
      if constexpr (kBackward)
        end_backward(d, tile);
      else
        end_forward(d, tile);
    }
    if (thread_ == 0) hopper::wait_for_puts();
    __syncwarp();
  }

 private:
  struct Tile {
    int row, col;  // of this block
  };

  __device__ int num_tiles() const { return tiles_.rows * tiles_.cols; }
  __device__ int num_pairs() const { return static_cast<int>(gridDim.x) / 2; }
  __device__ int first_tile() const { return static_cast<int>(blockIdx.x) / 2; }
  __device__ Tile tile_of(int t) const {
    const int band = t / (tiles_.band * tiles_.cols), within = t - band * tiles_.band * tiles_.cols;
    const int high = min(tiles_.band, tiles_.rows - band * tiles_.band);
    return {(band * tiles_.band + within % high) * 128 + rank_ * 64, within / high * Shape::kCols};
  }

  __device__ void next_stage() {
    if (++stage_ < kStages) return;
    stage_ = 0;
    phase_ ^= 1;
  }
  /// Past those of the other group's tile.
  __device__ void skip_stages() {
    stage_ += tiles_.steps % kStages;
    phase_ ^= static_cast<uint32_t>(tiles_.steps / kStages) & 1;
    if (stage_ < kStages) return;
    stage_ -= kStages;
    phase_ ^= 1;
  }

  /// The sums of a tile. Hands the turn on as soon as the last product is asked for.
  __device__ void sum(Sums& d, uint32_t turn_of_other) {
    constexpr int kStep = kBackward ? 2 * hopper::kEight : 32;  // bytes to the next 16 terms of the weight
    int last = 0;
    for (int k = 0; k < tiles_.steps; ++k, next_stage()) {
      wait_for_phase(full_ + 8 * stage_, phase_);
      const uint32_t at = stages_ + stage_ * Shape::kStage;
      const uint64_t a = hopper::along_sum(at);
      const uint64_t b = kBackward ? hopper::across_sum(at + kBox) : hopper::along_sum(at + kBox);
      hopper::pin(d);
      hopper::begin_products();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        hopper::multiply<kBackward>(d, a + ((i * 32) >> 4), b + ((i * kStep) >> 4), k > 0 || i > 0);
      hopper::commit_products();
      hopper::pin(d);
      if (k > 0) {
        hopper::wait_for_products<1>();
        release(last);
      }
      last = stage_;
    }
    if (thread_ == 0) arrive(turn_of_other);
    hopper::wait_for_products<0>();
    hopper::pin(d);
    release(last);
  }
  __device__ void release(int stage) const {
    if (thread_ < 2) arrive_in_block(empty_ + 8 * stage, thread_);
  }

  __device__ uint32_t box(int i) const { return boxes_ + ((group_ - 1) * Shape::kBoxes + i) * kBox; }

  /// Rounds gate and up, and writes both and SwiGLU of what was written.
  __device__ void end_forward(const Sums& d, Tile tile) const {
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
      write(maps_.gate_up, col, tile.row, gate);
      write(maps_.gate_up, tiles_.up + col, tile.row, up);
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const float2 g = halves_of<Bf16>(gate[j][r]), u = halves_of<Bf16>(up[j][r]);
          gate[j][r] = word_of<Bf16>(swiglu(g.x, u.x), swiglu(g.y, u.y));
        }
      write(maps_.act, col, tile.row, gate);
    }
  }
  __device__ void write(const CUtensorMap& map, int col, int row, const Words& w) const {
    if (thread_ == 0) hopper::wait_for_reads();
    hopper::wait_in_group(group_);
    hopper::write_box(box(0), w, thread_);
    hopper::fence_for_put();
    hopper::wait_in_group(group_);
    if (thread_ == 0) hopper::put(map, col, row, box(0));
  }

  /// Asks for gate and up of a quarter of the tile.
  __device__ void load(Tile tile, int c) const {
    const uint32_t to = box(c % 2 * 2), barrier = loaded(c);
    const int col = tile.col + 64 * c;
    arrive_and_expect(barrier, 2 * kBox);
    hopper::fetch(to, maps_.gate_up, col, tile.row, barrier);
    hopper::fetch(to + kBox, maps_.gate_up, tiles_.up + col, tile.row, barrier);
  }
  __device__ uint32_t loaded(int c) const { return loaded_ + (group_ - 1) * 16 + c % 2 * 8; }

  /// Rounds the gradient of the activation; its product with that of SwiGLU takes the place of gate and up.
  __device__ void end_backward(const Sums& d, Tile tile) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const uint32_t at = box(c % 2 * 2);
      Words gate, up;
      wait_for_phase(loaded(c), c / 2);
      hopper::read_box(gate, at, thread_);
      hopper::read_box(up, at + kBox, thread_);
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
      hopper::write_box(at, gate, thread_);
      hopper::write_box(at + kBox, up, thread_);
      hopper::fence_for_put();
      hopper::wait_in_group(group_);
      if (thread_ == 0) {
        const int col = tile.col + 64 * c;
        hopper::put(maps_.gate_up, col, tile.row, at);
        hopper::put(maps_.gate_up, tiles_.up + col, tile.row, at + kBox);
        if (c < 2) {
          hopper::wait_for_reads();
          load(tile, c + 2);
        }
      }
      __syncwarp();
    }
  }

  const GatedMaps& maps_;
  const GatedTiles& tiles_;
  const uint32_t stages_, boxes_, full_, empty_, turn_, loaded_;
  const int rank_, group_, thread_;
  int stage_ = 0;
  uint32_t phase_ = 0;
};

/// A block a multiprocessor, two a cluster.
template <bool kBackward>
__global__ void __launch_bounds__(kGatedThreads, 1)
    gated_product(const __grid_constant__ GatedMaps maps, const __grid_constant__ GatedTiles tiles) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ char memory[];
  GatedProduct<kBackward> product(maps, tiles, memory);
  if (threadIdx.x == 0) product.make_barriers();
  __syncwarp();
  arrive_in_cluster();
  wait_for_cluster();
  if (threadIdx.x < 128) {
    hopper::give_up_registers<40>();
    if (threadIdx.x == 0) product.fetch_all();
    __syncwarp();
  } else {
    hopper::take_registers<232>();
    product.multiply_all();
  }
  arrive_in_cluster();  // no block ends while another may still arrive at its barriers
  wait_for_cluster();
#endif
}

}  // namespace trireme::cuda
