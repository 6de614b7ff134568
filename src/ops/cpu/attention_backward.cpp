// An item is a segment and a key-value head. Tiles of keys outside, query heads and tiles of queries inside, so that
// dk and dv of a tile stay in scratch and every sum has one fixed order.
#include <cstring>

#include "base/numeric.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/attention_rows.h"

namespace trireme::cpu {
namespace {

struct Scratch {
  Scratch(float* base, const Tensor& q, const Tensor& k) {
    const int64_t d = q.size(2);
    ScratchCutter cut{base};
    scores = cut(kQueries * kKeys);
    dscores = cut(kQueries * kKeys);
    queries = cut(kQueries * d);
    dk = cut(kKeys * d);
    dv = cut(kKeys * d);
    d_o = q.dtype == DType::f32 ? nullptr : cut(kQueries * d);
    keys = k.dtype == DType::f32 ? nullptr : cut(kKeys * d);
    values = k.dtype == DType::f32 ? nullptr : cut(kKeys * d);
    floats = cut.floats();
  }
  float *scores, *dscores, *queries, *dk, *dv, *d_o, *keys, *values;
  int64_t floats;
};

/// The keys of one tile, as f32.
struct KeyTile {
  Range keys;
  GemmOperand k, v;
  /// Row `i` of the segment's keys.
  GemmOperand k_at(int64_t i) const { return {k.data + (i - keys.begin) * k.ld, k.ld}; }
  GemmOperand v_at(int64_t i) const { return {v.data + (i - keys.begin) * v.ld, v.ld}; }
};

class Backward {
 public:
  Backward(const Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args)
      : ctx_(ctx), g_(g), args_(args), d_(g.q.size(2)), group_(g.q.size(1) / g.k.size(1)) {}

  void run(const Segment& segment, int64_t kv_head, const Scratch& scratch) const;

 private:
  Range queries_that_see(const Segment& segment, Range keys) const;
  void add_tile(const Segment& segment, int64_t head, Range queries, const KeyTile& tile, const Scratch& s) const;
  void drop(const Segment& segment, int64_t head, Range queries, Range keys, float* x) const;
  float* dq_row(int64_t token, int64_t head) const {
    return g_.dq_sum.f32() + token * g_.dq_sum.stride(0) + head * g_.dq_sum.stride(1);
  }

  const Ctx& ctx_;
  const AttentionGradients& g_;
  const AttentionArgs& args_;
  int64_t d_, group_;
};

/// Those between the first and the last query that see any of the keys.
Range Backward::queries_that_see(const Segment& segment, Range keys) const {
  Range queries{0, segment.q_len};
  while (!queries.empty() && visible_keys(segment, args_, queries.begin).end <= keys.begin) ++queries.begin;
  while (!queries.empty() && visible_keys(segment, args_, queries.end - 1).begin >= keys.end) --queries.end;
  return queries;
}

void Backward::drop(const Segment& segment, int64_t head, Range queries, Range keys, float* x) const {
  uint64_t hi[kQueries];
  const int64_t rows = queries.end - queries.begin;
  for (int64_t r = 0; r < rows; ++r) hi[r] = dropout_row(args_, segment, queries.begin + r);
  drop_tile(x, rows, keys.end - keys.begin, tile_dropout(ctx_, args_, segment, head, keys.begin), hi);
}

void Backward::add_tile(const Segment& segment, int64_t head, Range queries, const KeyTile& tile,
                        const Scratch& s) const {
  const Range seen = visible_keys(segment, args_, queries);
  const Range keys{std::max(seen.begin, tile.keys.begin), std::min(seen.end, tile.keys.end)};
  if (keys.empty()) return;
  const int64_t m = queries.end - queries.begin, n = keys.end - keys.begin;
  const int64_t token = segment.q_begin + queries.begin;
  load_block(s.queries, d_, head_block(g_.q, token, m, head), args_.scale);
  const GemmOperand q{s.queries, d_}, d_o = as_f32(head_block(g_.d_o, token, m, head), s.d_o);
  sgemm(m, n, d_, 1, q, transposed(tile.k_at(keys.begin)), 0, s.scores, kKeys);
  sgemm(m, n, d_, 1, d_o, transposed(tile.v_at(keys.begin)), 0, s.dscores, kKeys);

  VisibleColumns visible;
  float lse[kQueries], delta[kQueries];
  for (int64_t r = 0; r < m; ++r) {
    visible.set(r, visible_keys(segment, args_, queries.begin + r), keys);
    lse[r] = g_.lse.f32()[(token + r) * g_.lse.stride(0) + head * g_.lse.stride(1)];
    delta[r] = g_.delta.f32()[(token + r) * g_.delta.stride(0) + head];
  }
  if (drops(ctx_, args_)) drop(segment, head, queries, keys, s.dscores);
  softmax_gradient({s.scores, m, n, &visible}, s.dscores, lse, delta);
  if (drops(ctx_, args_)) drop(segment, head, queries, keys, s.scores);

  const int64_t offset = (keys.begin - tile.keys.begin) * d_;
  sgemm(n, d_, m, 1, transposed({s.scores, kKeys}), d_o, 1, s.dv + offset, d_);
  sgemm(n, d_, m, 1, transposed({s.dscores, kKeys}), q, 1, s.dk + offset, d_);
  sgemm(m, d_, n, args_.scale, {s.dscores, kKeys}, tile.k_at(keys.begin), 1, dq_row(token, head),
        std::max(g_.dq_sum.stride(0), d_));
}

void Backward::run(const Segment& segment, int64_t kv_head, const Scratch& s) const {
  const int64_t first_head = kv_head * group_, end_head = first_head + group_;
  for (int64_t i = 0; i < segment.q_len; ++i)
    for (int64_t h = first_head; h < end_head; ++h) std::fill_n(dq_row(segment.q_begin + i, h), d_, 0.0F);
  for (int64_t k = 0; k < segment.k_len; k += kKeys) {
    const Range keys{k, std::min<int64_t>(k + kKeys, segment.k_len)};
    const int64_t row = segment.k_begin + k, count = keys.end - keys.begin;
    const KeyTile tile{keys, as_f32(head_block(g_.k, row, count, kv_head), s.keys),
                       as_f32(head_block(g_.v, row, count, kv_head), s.values)};
    std::fill_n(s.dk, count * d_, 0.0F);
    std::fill_n(s.dv, count * d_, 0.0F);
    const Range queries = queries_that_see(segment, keys);
    for (int64_t h = first_head; h < end_head; ++h)
      for (int64_t q = queries.begin; q < queries.end; q += kQueries)
        add_tile(segment, h, {q, std::min(q + kQueries, queries.end)}, tile, s);
    store_block(head_block(g_.dk, row, count, kv_head), s.dk, d_);
    store_block(head_block(g_.dv, row, count, kv_head), s.dv, d_);
  }
  if (g_.dq.dtype == DType::f32) return;
  for (int64_t h = first_head; h < end_head; ++h)
    store_block(head_block(g_.dq, segment.q_begin, segment.q_len, h), dq_row(segment.q_begin, h), g_.dq_sum.stride(0));
}

void clear(const Tensor& t) {
  for (int64_t i = 0; i < t.size(0); ++i)
    for (int64_t h = 0; h < t.size(1); ++h) {
      const Block row = head_block(t, i, 1, h);
      std::memset(row.data, 0, static_cast<size_t>(row.cols * dtype_size(t.dtype)));
    }
}

}  // namespace

int64_t attention_backward_floats(const Tensor& q, const Tensor& k) { return Scratch(nullptr, q, k).floats; }

void attention_backward(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args, float* scratch) {
  if (!segments_cover(args.segments, g.q.size(0), &Segment::q_begin, &Segment::q_len)) clear(g.dq);
  if (!segments_cover(args.segments, g.k.size(0), &Segment::k_begin, &Segment::k_len)) {
    clear(g.dk);
    clear(g.dv);
  }
  attention_delta(ctx, g.delta, g.d_o, g.o);
  const Backward backward(ctx, g, args);
  const int64_t heads = g.k.size(1), floats = attention_backward_floats(g.q, g.k);
  const double flops = 10.0 * static_cast<double>(visible_pairs(args) * g.q.size(1) * g.q.size(2));
  const int64_t items = static_cast<int64_t>(args.segments.size()) * heads;
  const auto run = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i)
      backward.run(args.segments[static_cast<size_t>(i / heads)], i % heads,
                   Scratch(scratch + thread * floats, g.q, g.k));
  };
  parallel_dynamic(ctx, items, 1, run, flops < kSerialFlops);
}

}  // namespace trireme::cpu
