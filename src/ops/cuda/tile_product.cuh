// Products of bf16, c = a . b, on compute capability 9.0a, whose tiles end in something of ours: an End takes the sums
// while they are in registers, so that what follows a product costs no pass over memory of its own.
//
// A block has a warp group that fetches and two that multiply. These take tiles of 128 rows and 192 columns in turns:
// while one works at the end of its tile, the tensor cores are busy with the other's sum. Such a tile asks for 53 bytes
// a cycle at their full rate, where the L2 gives a multiprocessor about 64 (64 x 256 asks for 80). Two blocks, a
// cluster, have the same columns and bring each other half of b. Who multiplies follows the ring of stages only in its
// turn, since a barrier's parity tells no more than two rounds of it apart.
//
// An End (gated_ends.cuh) has
//   Args                  what it needs beside the operands, in the kernel's arguments
//   kAcross               whether b lies across the sum, (terms, columns), or along it, (columns, terms)
//   kCols                 how far it is from a tile to the next along the columns
//   kBytes, kBarriers     of shared memory, and of one arrival, that each group has for itself
//   b_row(col, h)         along the sum: where the 96 rows of b begin that are half h of the tile at `col`
//   End(args, corner), begin(tile), end(sums, tile)
//                         in every thread that multiplies; begin comes before the sum, to ask for what the end reads.
//                         Rows and columns that a matrix has not are in the last tiles: their sums are 0.
// and may have
//   is_idle(args)         whether there is nothing to do after all, which only the GPU knows
// Thread 0 of a group is who puts boxes; all that it put is awaited at last.
#pragma once

#include <algorithm>
#include <array>

#include "base/numeric.h"
#include "ops/cuda/barrier.cuh"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/hopper.cuh"
#include "ops/cuda/tensor_map.h"

namespace trireme::cuda {

struct ProductMaps {
  CUtensorMap a;     // boxes of (128, 64)
  CUtensorMap b[2];  // what each block of a cluster brings: boxes of (96, 64) along the sum, (32, 64) across it
};

struct Tiles {
  int rows = 0, cols = 0;  // tiles of both blocks together: 256 rows, End::kCols columns
  int band = 0;            // rows of tiles walked column by column, so that both operands stay in L2
  int steps = 0;           // of 64 terms
};

struct Tile {
  int row, col;  // of this block
};
using TileSums = hopper::Sums[2];  // of rows 0 to 63 and of rows 64 to 127

/// What a group has for itself at the end of a tile: addresses in shared memory, bytes at a multiple of 1024.
struct Corner {
  uint32_t bytes, barriers;
  int group, thread;  // for wait_in_group, and of 128
};

constexpr int kBoxBytes = 64 * hopper::kSwizzled;
constexpr int kTileThreads = 384;

template <class End>
struct TileShape {
  static constexpr int kStages = 4;                   // of the ring of operands
  static constexpr int kStage = (2 + 3) * kBoxBytes;  // 128 rows of a, 192 columns of b
  static constexpr int kBarriers = 2 * kStages + 2 + 2 * End::kBarriers;
  static constexpr int kBytes = kStages * kStage + 2 * End::kBytes + kBarriers * 8 + 1024;
  static_assert(End::kBytes % 1024 == 0);
};

template <class End>
class TileProduct {
  using Shape = TileShape<End>;
  static constexpr int kStages = Shape::kStages;

 public:
  __device__ TileProduct(const ProductMaps& maps, const Tiles& tiles, const typename End::Args& args, char* memory)
      : maps_(maps),
        tiles_(tiles),
        args_(args),
        stages_((shared_address(memory) + 1023) & ~1023U),  // swizzled boxes begin at multiples of 1024
        corners_(stages_ + kStages * Shape::kStage),
        full_(corners_ + 2 * End::kBytes),
        empty_(full_ + kStages * 8),
        turn_(empty_ + kStages * 8),
        rank_(static_cast<int>(hopper::rank_in_cluster())) {}

  __device__ void make_barriers() const {
    for (int s = 0; s < kStages; ++s) {
      make_barrier(full_ + 8 * s, 1);
      make_barrier(empty_ + 8 * s, 2);  // of the readers in both blocks
    }
    for (int i = 0; i < 2 + 2 * End::kBarriers; ++i) make_barrier(turn_ + 8 * i, 1);
    publish_barriers();
  }

  __device__ void fetch_all() {
    for (int t = first_tile(); t < num_tiles(); t += num_pairs()) {
      const Tile tile = tile_of(t);
      for (int k = 0; k < tiles_.steps; ++k, next_stage()) {
        wait_for_phase(empty_ + 8 * stage_, phase_ ^ 1);
        const uint32_t to = stages_ + stage_ * Shape::kStage, barrier = full_ + 8 * stage_;
        arrive_and_expect(barrier, Shape::kStage);
        hopper::fetch(to, maps_.a, k * 64, tile.row, barrier);
        const uint32_t b = to + 2 * kBoxBytes;
        const CUtensorMap& map = maps_.b[rank_];
        if constexpr (End::kAcross) {
          const int term = rank_ * 32;
#pragma unroll
          for (int i = 0; i < 3; ++i)
            hopper::fetch_for_both(b + i * kBoxBytes + term * hopper::kSwizzled, map, tile.col + i * 64, k * 64 + term,
                                   barrier);
        } else {
          hopper::fetch_for_both(b + rank_ * 96 * hopper::kSwizzled, map, k * 64, End::b_row(tile.col, rank_), barrier);
        }
      }
    }
  }

  __device__ void multiply_all() {
    const int group = static_cast<int>(threadIdx.x) / 128, me = group - 1;
    thread_ = static_cast<int>(threadIdx.x) % 128;
    End end(args_, {corners_ + me * End::kBytes, turn_ + 16 + me * End::kBarriers * 8, group, thread_});
    uint32_t round = me ^ 1;  // nobody has to hand the first turn to the first group
    if (me == 1) skip_stages();
    TileSums d;
    for (int t = first_tile() + me * num_pairs(); t < num_tiles(); t += 2 * num_pairs()) {
      const Tile tile = tile_of(t);
      end.begin(tile);
      wait_for_phase(turn_ + 8 * me, round);
      round ^= 1;
      sum(d, turn_ + 8 * (me ^ 1));
      skip_stages();
      end.end(d, tile);
    }
    if (thread_ == 0) hopper::wait_for_puts();
    __syncwarp();
  }

 private:
  __device__ int num_tiles() const { return tiles_.rows * tiles_.cols; }
  __device__ int num_pairs() const { return static_cast<int>(gridDim.x) / 2; }
  __device__ int first_tile() const { return static_cast<int>(blockIdx.x) / 2; }
  __device__ Tile tile_of(int t) const {
    const int band = t / (tiles_.band * tiles_.cols), within = t - band * tiles_.band * tiles_.cols;
    const int high = min(tiles_.band, tiles_.rows - band * tiles_.band);
    return {(band * tiles_.band + within % high) * 256 + rank_ * 128, within / high * End::kCols};
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
  __device__ void sum(TileSums& d, uint32_t turn_of_other) {
    wait_for_phase(full_ + 8 * stage_, phase_);
    hopper::forget(d[0]);
    hopper::forget(d[1]);
    multiply<false>(d);
    int last = stage_;
    next_stage();
    for (int k = 1; k < tiles_.steps; ++k, next_stage()) {
      wait_for_phase(full_ + 8 * stage_, phase_);
      multiply<true>(d);
      hopper::wait_for_products<1>();
      release(last);
      last = stage_;
    }
    if (thread_ == 0) arrive(turn_of_other);
    hopper::wait_for_products<0>();
    pin(d);
    release(last);
  }
  /// Asks for the products of a stage, added to d with kAdds.
  template <bool kAdds>
  __device__ void multiply(TileSums& d) const {
    constexpr int kStep = End::kAcross ? 2 * hopper::kEight : 32;  // bytes to the next 16 terms of b
    const uint32_t at = stages_ + stage_ * Shape::kStage, at_b = at + 2 * kBoxBytes;
    const uint64_t a = hopper::along_sum(at);
    const uint64_t b = End::kAcross ? hopper::across_sum(at_b) : hopper::along_sum(at_b);
    pin(d);
    hopper::begin_products();
#pragma unroll
    for (int half = 0; half < 2; ++half) hopper::multiply<End::kAcross, kAdds>(d[half], a + (half * kBoxBytes >> 4), b);
#pragma unroll
    for (int i = 1; i < 4; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        hopper::multiply<End::kAcross, true>(d[half], a + ((half * kBoxBytes + i * 32) >> 4), b + ((i * kStep) >> 4));
    hopper::commit_products();
    pin(d);
  }
  static __device__ void pin(TileSums& d) {
    hopper::pin(d[0]);
    hopper::pin(d[1]);
  }
  __device__ void release(int stage) const {
    if (thread_ < 2) arrive_in_block(empty_ + 8 * stage, thread_);
  }

  const ProductMaps& maps_;
  const Tiles& tiles_;
  const typename End::Args& args_;
  const uint32_t stages_, corners_, full_, empty_, turn_;
  const int rank_;
  int thread_ = 0, stage_ = 0;
  uint32_t phase_ = 0;
};

/// A block a multiprocessor, two a cluster.
template <class End>
__global__ void __launch_bounds__(kTileThreads, 1)
    tile_product(const __grid_constant__ ProductMaps maps, const __grid_constant__ Tiles tiles,
                 const __grid_constant__ typename End::Args args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (requires { End::is_idle(args); }) {
    if (End::is_idle(args)) return;
  }
  extern __shared__ char memory[];
  TileProduct<End> product(maps, tiles, args, memory);
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

/// Whether this GPU and this build have the kernel.
template <class End>
bool has_tile_product(const CudaContext& context) {
  if (context.capability_major() != 9 || context.max_shared_bytes() < TileShape<End>::kBytes) return false;
  constexpr int kRegistersOfNothing = 64;  // a build without code for 9.0a has an empty kernel
  cudaFuncAttributes attributes{};
  check_cuda(cudaFuncGetAttributes(&attributes, tile_product<End>), "cudaFuncGetAttributes");
  return attributes.numRegs > kRegistersOfNothing;
}

/// c = a . b, ended by End: a (M, K); b (N, K), or (K, N) across the sum, as each block of a cluster knows it; `cols`
/// that tiles walk over. All have boxes (has_boxes). Asynchronous; DeviceError naming `op` where the launch is refused.
template <class End>
void launch_tiles(const Ctx& ctx, const char* op, const Tensor& a, const std::array<Tensor, 2>& b, int64_t cols,
                  const typename End::Args& args) {
  constexpr int64_t kBandBytes = int64_t{14} << 20;  // of a that stay in L2: a quarter of an H200's
  const int64_t rows = a.size(0), terms = a.size(1);
  const int64_t band = std::clamp<int64_t>(kBandBytes / (256 * terms * 2), 4, 16);
  const Tiles tiles{narrow<int>(ceil_div(rows, int64_t{256})), narrow<int>(ceil_div(cols, int64_t{End::kCols})),
                    narrow<int>(band), narrow<int>(ceil_div(terms, int64_t{64}))};
  constexpr int kBoxRows = End::kAcross ? 32 : 96;
  const ProductMaps maps{map_of(a, 128), {map_of(b[0], kBoxRows), map_of(b[1], kBoxRows)}};
  ClusterLaunch shape{.blocks = static_cast<unsigned>(ctx.cuda->multiprocessors() / 2 * 2),
                      .cluster = 2,
                      .threads = kTileThreads,
                      .shared_bytes = TileShape<End>::kBytes};
  // No more than run at once: tiles are dealt to all from the start, and the others' would come last.
  shape.blocks = std::clamp(2 * clusters_at_once(ctx, op, shape, tile_product<End>), 2U, shape.blocks);
  launch_clusters(ctx, op, shape, tile_product<End>, maps, tiles, args);
}

}  // namespace trireme::cuda
