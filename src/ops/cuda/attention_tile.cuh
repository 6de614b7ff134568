// What the attention kernels share. A warp owns one row (a query, or in the backward of keys one key) and walks over
// the rows it meets in tiles of one per lane: lane i computes the score with row i of the tile, then the lanes share
// the weighted sum over the tile, each a slice of the channels. Tiles lie in shared memory as f32, so that all warps of
// a block read memory once.
#pragma once

#include "base/random.h"
#include "ops/attention_geometry.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"
#include "ops/kernel_args.h"

namespace trireme::cuda {

constexpr int kRowsOfBlock = 16;  // warps, each with a row of its own

/// A tensor (N, H, D) with unit stride in D.
struct HeadsView {
  char* data = nullptr;
  int64_t row_stride = 0, head_stride = 0;  // elements
  DType dtype = DType::f32;

  HeadsView() = default;
  explicit HeadsView(const Tensor& t)
      : data(t.as<char>()), row_stride(t.stride(0)), head_stride(t.stride(1)), dtype(t.dtype) {}

  __device__ float get(int64_t row, int64_t head, int d) const {
    const int64_t i = row * row_stride + head * head_stride + d;
    switch (dtype) {
      case DType::bf16: return to_f32(reinterpret_cast<const Bf16*>(data)[i]);
      case DType::f16: return to_f32(reinterpret_cast<const F16*>(data)[i]);
      default: return reinterpret_cast<const float*>(data)[i];
    }
  }
  __device__ void set(int64_t row, int64_t head, int d, float v) const {
    const int64_t i = row * row_stride + head * head_stride + d;
    switch (dtype) {
      case DType::bf16: reinterpret_cast<Bf16*>(data)[i] = from_f32<Bf16>(v); break;
      case DType::f16: reinterpret_cast<F16*>(data)[i] = from_f32<F16>(v); break;
      default: reinterpret_cast<float*>(data)[i] = v;
    }
  }
};

/// One number a row and head, f32.
struct RowsView {
  float* data = nullptr;
  int64_t row_stride = 0, head_stride = 0;

  RowsView() = default;
  explicit RowsView(const Tensor& t) : data(t.f32()), row_stride(t.stride(0)), head_stride(t.stride(1)) {}
  __device__ float& at(int64_t row, int64_t head) const { return data[row * row_stride + head * head_stride]; }
};

struct AttentionProblem {
  const Segment* segments = nullptr;
  int head_size = 0;  // D
  int group = 1;      // query heads that share keys
  float scale = 1;
  bool causal = true;
  int64_t window = 0;

  float keep_scale = 1;    // 1 / (1 - p)
  uint32_t threshold = 0;  // of the mask; 0: no dropout
  uint64_t seed = 0, site = 0, step = 0;
  int64_t head_begin = 0;
  const int64_t* sample_ids = nullptr;

  AttentionProblem(const Ctx& ctx, const AttentionArgs& args, const Tensor& q, const Tensor& k,
                   const Segment* device_segments)
      : segments(device_segments),
        head_size(static_cast<int>(q.size(2))),
        group(static_cast<int>(q.size(1) / k.size(1))),
        scale(args.scale),
        causal(args.causal),
        window(args.window) {
    if (!ctx.train || args.dropout <= 0) return;
    keep_scale = 1.0F / (1.0F - args.dropout);
    threshold = static_cast<uint32_t>(dropout_threshold(args.dropout));
    seed = ctx.seed;
    site = args.site;
    step = static_cast<uint64_t>(ctx.step);
    head_begin = args.head_begin;
    sample_ids = args.sample_ids.as<int64_t>();
  }

  __device__ RandomKey key(int head) const {
    return RandomKey::of(seed, mix64(site, static_cast<uint64_t>(head_begin + head)), step);
  }
  /// What a probability is multiplied by: 0 where it is dropped. `query`, `token`: of the segment, of the batch.
  __device__ float mask(const RandomKey& random, const Segment& s, int64_t query, int64_t key_index) const {
    if (threshold == 0) return 1.0F;
    const auto position = static_cast<uint64_t>(s.k_pos + key_index);
    const uint64_t hi =
        mix64(static_cast<uint64_t>(sample_ids[s.q_begin + query]), static_cast<uint64_t>(s.q_pos + query));
    const Philox4 words = random.draw(hi, position / 4);
    return (words[position % 4] >> 8) >= threshold ? keep_scale : 0.0F;
  }
};

/// Rows [row, row + kWarp) of a head, as far as they are below `end`, into a tile whose rows lie `pitch` apart. All
/// threads of the block take part.
__device__ inline void load_tile(float* tile, int pitch, const HeadsView& t, int64_t row, int64_t end, int64_t head,
                                 int head_size) {
  for (int i = static_cast<int>(threadIdx.x); i < kWarp * head_size; i += static_cast<int>(blockDim.x)) {
    const int r = i / head_size, d = i % head_size;
    tile[r * pitch + d] = row + r < end ? t.get(row + r, head, d) : 0.0F;
  }
}

__device__ inline float dot(const float* a, const float* b, int n) {
  float sum = 0;
  for (int d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

/// Odd, so that lanes that read one column of a tile meet different banks.
inline int tile_pitch(int64_t head_size) { return static_cast<int>(head_size | 1); }

template <int kCount>
struct Slices {};

/// f(Slices<n>()) for n x 32 channels that hold a head.
template <class F>
void with_slices(const char* op, int64_t head_size, F f) {
  if (head_size <= 32) return f(Slices<1>());
  if (head_size <= 64) return f(Slices<2>());
  if (head_size <= 128) return f(Slices<4>());
  if (head_size <= 256) return f(Slices<8>());
  throw DeviceError(cat(op, ": heads of ", head_size, " channels are too wide for a GPU; at most 256. Use device=cpu"));
}

}  // namespace trireme::cuda
