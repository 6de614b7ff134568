#include <cmath>
#include <limits>

#include "base/numeric.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/attention_rows.h"
#include "ops/cpu/skinny.h"

namespace trireme::cpu {
namespace {

/// Scratch of a thread, cut out of its slice.
struct Scratch {
  Scratch(float* base, const Tensor& q, const Tensor& k) {
    const int64_t d = q.size(2);
    ScratchCutter cut{base};
    scores = cut(kQueries * kKeys);
    queries = cut(kQueries * d);
    out = cut(kQueries * d);
    product = cut(kSkinnyRows * d);
    row_max = cut(kQueries);
    row_sum = cut(kQueries);
    keys = k.dtype == DType::f32 ? nullptr : cut(kKeys * d);  // also the values
    floats = cut.floats();
  }
  float *scores, *queries, *out, *product, *row_max, *row_sum, *keys;
  int64_t floats;
};

/// One thread's work at a time: a run of queries of one head, or one query of all heads that share keys.
struct Item {
  const Segment* segment = nullptr;
  Range queries;  // within the segment
  int64_t head = 0, heads = 1;
  int64_t rows() const { return heads > 1 ? heads : queries.end - queries.begin; }
  int64_t query(int64_t row) const { return queries.begin + (heads > 1 ? 0 : row); }
  int64_t head_of(int64_t row) const { return head + (heads > 1 ? row : 0); }
  int64_t token(int64_t row) const { return segment->q_begin + query(row); }
};

class Forward {
 public:
  Forward(const Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
          const AttentionArgs& args)
      : ctx_(ctx), o_(o), lse_(lse), q_(q), k_(k), v_(v), args_(args), group_(q.size(1) / k.size(1)) {}

  int64_t num_items() const {
    int64_t n = 0;
    for (const Segment& s : args_.segments) n += num_items(s);
    return n;
  }
  Item item(int64_t index) const;
  void run(const Item& item, const Scratch& scratch) const;

 private:
  bool shares_keys(const Segment& s) const { return s.q_len == 1 && group_ > 1 && group_ <= kQueries; }
  int64_t num_items(const Segment& s) const {
    return shares_keys(s) ? k_.size(1) : ceil_div(s.q_len, kQueries) * q_.size(1);
  }
  void load_queries(const Item& item, float* to) const;
  void add_tile(const Item& item, Range keys, const Scratch& scratch) const;
  void multiply_scores(const Item& item, Range keys, const Scratch& scratch) const;
  void add_values(const Item& item, Range keys, const Scratch& scratch) const;
  void drop(const Item& item, Range keys, float* scores) const;
  void finish(const Item& item, const Scratch& scratch) const;

  const Ctx& ctx_;
  const Tensor &o_, &lse_, &q_, &k_, &v_;
  const AttentionArgs& args_;
  int64_t group_;
};

Item Forward::item(int64_t index) const {
  const Segment* s = args_.segments.data();
  for (; index >= num_items(*s); ++s) index -= num_items(*s);
  if (shares_keys(*s)) return {s, {0, 1}, index * group_, group_};
  const int64_t tiles = ceil_div(s->q_len, kQueries);
  const int64_t begin = index % tiles * kQueries;
  return {s, {begin, std::min<int64_t>(begin + kQueries, s->q_len)}, index / tiles, 1};
}

void Forward::load_queries(const Item& item, float* to) const {
  Block from = head_block(q_, item.token(0), item.rows(), item.head);
  if (item.heads > 1) from.ld = q_.stride(1);
  load_block(to, from.cols, from, args_.scale);
}

void Forward::multiply_scores(const Item& item, Range keys, const Scratch& s) const {
  const Block k = head_block(k_, item.segment->k_begin + keys.begin, keys.end - keys.begin, item.head / group_);
  if (item.rows() <= kSkinnyRows)
    return skinny_product({.m = item.rows(),
                           .n = k.rows,
                           .k = k.cols,
                           .a = s.queries,
                           .lda = k.cols,
                           .b = k.data,
                           .b_dtype = k.dtype,
                           .ldb = k.ld,
                           .transposed = true,
                           .c = s.scores,
                           .ldc = kKeys});
  sgemm(item.rows(), k.rows, k.cols, 1, {s.queries, k.cols}, transposed(as_f32(k, s.keys)), 0, s.scores, kKeys);
}

void Forward::add_values(const Item& item, Range keys, const Scratch& s) const {
  const Block v = head_block(v_, item.segment->k_begin + keys.begin, keys.end - keys.begin, item.head / group_);
  const int64_t d = v.cols;
  if (item.rows() > kSkinnyRows)
    return sgemm(item.rows(), d, v.rows, 1, {s.scores, kKeys}, as_f32(v, s.keys), 1, s.out, d);
  skinny_product({.m = item.rows(),
                  .n = d,
                  .k = v.rows,
                  .a = s.scores,
                  .lda = kKeys,
                  .b = v.data,
                  .b_dtype = v.dtype,
                  .ldb = v.ld,
                  .c = s.product,
                  .ldc = d});
  for (int64_t i = 0; i < item.rows() * d; ++i) s.out[i] += s.product[i];
}

void Forward::drop(const Item& item, Range keys, float* scores) const {
  for (int64_t r = 0; r < item.rows(); ++r) {
    const uint64_t hi = dropout_row(args_, *item.segment, item.query(r));
    drop_tile(scores + r * kKeys, 1, keys.end - keys.begin,
              tile_dropout(ctx_, args_, *item.segment, item.head_of(r), keys.begin), &hi);
  }
}

void Forward::add_tile(const Item& item, Range keys, const Scratch& s) const {
  multiply_scores(item, keys, s);
  VisibleColumns visible;
  for (int64_t r = 0; r < item.rows(); ++r) visible.set(r, visible_keys(*item.segment, args_, item.query(r)), keys);
  softmax_step({s.scores, item.rows(), keys.end - keys.begin, &visible}, s.row_max, s.row_sum, s.out, q_.size(2));
  if (drops(ctx_, args_)) drop(item, keys, s.scores);
  add_values(item, keys, s);
}

void Forward::finish(const Item& item, const Scratch& s) const {
  const int64_t d = q_.size(2);
  for (int64_t r = 0; r < item.rows(); ++r) {
    const bool sees = s.row_sum[r] > 0 || std::isnan(s.row_sum[r]);
    const float factor = sees ? 1.0F / s.row_sum[r] : 0.0F;
    for (int64_t i = 0; i < d; ++i) s.out[r * d + i] *= factor;
    lse_.f32()[item.token(r) * lse_.stride(0) + item.head_of(r) * lse_.stride(1)] =
        sees ? s.row_max[r] + std::log(s.row_sum[r]) : -std::numeric_limits<float>::infinity();
  }
  Block to = head_block(o_, item.token(0), item.rows(), item.head);
  if (item.heads > 1) to.ld = o_.stride(1);
  store_block(to, s.out, d);
}

void Forward::run(const Item& item, const Scratch& s) const {
  load_queries(item, s.queries);
  std::fill_n(s.out, item.rows() * q_.size(2), 0.0F);
  std::fill_n(s.row_max, item.rows(), -std::numeric_limits<float>::infinity());
  std::fill_n(s.row_sum, item.rows(), 0.0F);
  const Range seen = visible_keys(*item.segment, args_, item.queries);
  for (int64_t begin = seen.begin; begin < seen.end; begin += kKeys)
    add_tile(item, {begin, std::min(begin + kKeys, seen.end)}, s);
  finish(item, s);
}

}  // namespace

int64_t attention_forward_floats(const Tensor& q, const Tensor& k) { return Scratch(nullptr, q, k).floats; }

void attention_forward(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                       const AttentionArgs& args, float* scratch) {
  const Forward forward(ctx, o, lse, q, k, v, args);
  const int64_t floats = attention_forward_floats(q, k);
  const double flops = 4.0 * static_cast<double>(visible_pairs(args) * q.size(1) * q.size(2));
  const auto run = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) forward.run(forward.item(i), Scratch(scratch + thread * floats, q, k));
  };
  parallel_dynamic(ctx, forward.num_items(), 1, run, flops < kSerialFlops);
}

}  // namespace trireme::cpu
