// One micro-batch as the model sees it. All tensors are views of the loader's or the engine's memory.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace trireme {

/// A run of tokens that attend to each other. Query i of the segment has position q_pos + i, key j has
/// k_pos + j; a causal query sees keys whose position is not larger than its own.
struct Segment {
  int32_t q_begin = 0, q_len = 0;  // rows of q
  int32_t k_begin = 0, k_len = 0;  // rows of k and v
  int32_t q_pos = 0, k_pos = 0;
  bool operator==(const Segment&) const = default;
};

/// Keys and values of one layer kept for later tokens: (rows, K, D) each. A segment's k_begin and k_len are rows of it.
struct KvView {
  Tensor k, v;
};

/// A rank's tokens under context parallelism: two chunks of every sample, one counted from the front and one from the
/// back. The rows of a batch are the front chunks of all samples, then the back chunks.
struct ContextShare {
  int64_t chunk = 0;  // tokens of a chunk; 0: this rank has all tokens
  /// By half. q_begin counts within the half; k_begin is a row of the whole micro-batch in order of sample and
  /// position.
  std::array<std::span<const Segment>, 2> halves;
};

/// The chunk of a sample, of 2 * ranks, that a context rank has as its first (half 0) or second.
constexpr int64_t context_chunk(int64_t rank, int64_t ranks, int64_t half) {
  return half == 0 ? rank : 2 * ranks - 1 - rank;
}

struct Batch {
  Tensor tokens;      // (N) i32
  Tensor targets;     // (N) i32; ignored where the weight is 0
  Tensor weights;     // (N) f32: weight of each target in the loss
  Tensor positions;   // (N) i32: position within the sample, for embeddings, RoPE and random keys
  Tensor sample_ids;  // (N) i64: global sample id of each token, for random keys
  std::span<const Segment> segments;
  ContextShare context;        // in use where the tokens of a sample are split over ranks; then segments is empty
  std::span<const KvView> kv;  // one a layer: decode with a cache; empty: attend within the batch
  Tensor cache_rows;           // (N) i32: a token each of N sequences, whose first keys are at these rows of kv; then
                               // segments are not looked at (ops/attention.h: decode_attention). Undefined: segments
  double total_weight = 1;     // sum of weights over the GLOBAL batch: all micro-batches of all ranks

  int64_t num_tokens() const { return tokens.size(0); }
};

}  // namespace trireme
