// What attention does to tiles of scores between two matrix products, row by row on vectors.
#pragma once

#include "base/random.h"
#include "ops/cpu/attention_tiles.h"

namespace trireme::cpu {

/// rows x cols scores, rows kKeys apart. Columns that a row does not see hold nothing of meaning.
struct ScoreTile {
  float* data = nullptr;
  int64_t rows = 0, cols = 0;
  const VisibleColumns* visible = nullptr;
};

/// One step of the running softmax: scores become exp(score - new maximum), 0 where not seen; row_max and row_sum are
/// brought up to date; rows of o (rows x d) are scaled to the new maximum.
void softmax_step(const ScoreTile& tile, float* row_max, float* row_sum, float* o, int64_t d);

/// Scores become probabilities exp(score - lse), 0 where not seen; dp becomes probability * (dp - delta).
void softmax_gradient(const ScoreTile& tile, float* dp, const float* lse, const float* delta);

/// The dropout of a tile. `columns` is the position of the key of column 0.
struct TileDropout {
  RandomKey key;
  uint64_t columns = 0;
  float p = 0;
};

inline bool drops(const Ctx& ctx, const AttentionArgs& args) { return ctx.train && args.dropout > 0; }

/// Of the tile of a head whose first column is key `key` of the segment.
inline TileDropout tile_dropout(const Ctx& ctx, const AttentionArgs& args, const Segment& s, int64_t head,
                                int64_t key) {
  const uint64_t site = mix64(args.site, static_cast<uint64_t>(args.head_begin + head));
  return {RandomKey::of(ctx.seed, site, static_cast<uint64_t>(ctx.step)), static_cast<uint64_t>(s.k_pos + key),
          args.dropout};
}
/// What the mask of a query's row is drawn at.
inline uint64_t dropout_row(const AttentionArgs& args, const Segment& s, int64_t query) {
  const int64_t sample = args.sample_ids.as<int64_t>()[s.q_begin + query];
  return mix64(static_cast<uint64_t>(sample), static_cast<uint64_t>(s.q_pos + query));
}

/// Row r of x (tile layout) is multiplied by its mask, drawn at hi[r], over 1 - p.
void drop_tile(float* x, int64_t rows, int64_t cols, const TileDropout& dropout, const uint64_t* hi);

/// delta (N, H) = sum over D of d_o * o.
void attention_delta(Ctx& ctx, const Tensor& delta, const Tensor& d_o, const Tensor& o);

}  // namespace trireme::cpu
