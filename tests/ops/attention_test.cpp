#include "ops/attention.h"

#include "ops/attention_geometry.h"
#include "ops/op_test.h"
#include "support/allocations.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

struct Case {
  int64_t heads = 2, kv_heads = 2, d = 16;
  std::vector<Segment> segments;
  bool causal = true;
  int64_t window = 0;
  float dropout = 0;
  DType q_type = DType::f32, k_type = DType::f32;
  int64_t pad = 0, head_begin = 0;
  int64_t extra_rows = 0;  // of q and of k, after the last segment
};

/// Segments of equal queries and keys, one after the other.
std::vector<Segment> packed(const std::vector<int32_t>& lengths) {
  std::vector<Segment> out;
  int32_t at = 0;
  for (const int32_t n : lengths) {
    out.push_back({at, n, at, n, 0, 0});
    at += n;
  }
  return out;
}

constexpr float kScale = 0.4F;
constexpr uint64_t kSeed = 77, kSite = 5;
constexpr int64_t kStep = 9;

struct Gradients {
  Doubles dq, dk, dv;
};

/// The op's tensors, and the same computation in double.
struct Problem {
  explicit Problem(const Case& x) : p(x) {
    for (const Segment& s : p.segments) {
      nq = std::max<int64_t>(nq, s.q_begin + s.q_len);
      nk = std::max<int64_t>(nk, s.k_begin + s.k_len);
    }
    nq += p.extra_rows;
    nk += p.extra_rows;
    const Shape qs{nq, p.heads, p.d}, ks{nk, p.kv_heads, p.d};
    q = Owned(p.q_type, qs, random_values(qs.numel(), 1, 2), p.pad);
    k = Owned(p.k_type, ks, random_values(ks.numel(), 2, 2), p.pad);
    v = Owned(p.k_type, ks, random_values(ks.numel(), 3), p.pad);
    d_o = Owned(p.q_type, qs, random_values(qs.numel(), 4), p.pad);
    o = Owned(p.q_type, qs, Doubles(static_cast<size_t>(qs.numel())), p.pad);
    lse = Owned(DType::f32, {nq, p.heads}, Doubles(static_cast<size_t>(nq * p.heads)));
    dq = Owned(p.q_type, qs, p.pad);
    dk = Owned(p.k_type, ks, p.pad);
    dv = Owned(p.k_type, ks, p.pad);
    samples = Owned(DType::i64, {nq});
    for (int64_t i = 0; i < nq; ++i) samples.t.as<int64_t>()[i] = 1000 + i / 7;
  }
  AttentionArgs args() const {
    return {.segments = p.segments,
            .scale = kScale,
            .causal = p.causal,
            .window = p.window,
            .dropout = p.dropout,
            .site = kSite,
            .sample_ids = samples.t,
            .head_begin = p.head_begin};
  }
  void prepare(Ctx& ctx) const {
    ctx.seed = kSeed;
    ctx.step = kStep;
    ctx.train = true;
  }
  void forward(Ctx& ctx) {
    prepare(ctx);
    attention_forward(ctx, o.t, lse.t, q.t, k.t, v.t, args());
  }
  void backward(Ctx& ctx) {
    prepare(ctx);
    attention_backward(ctx, dq.t, dk.t, dv.t, d_o.t, q.t, k.t, v.t, o.t, lse.t, args());
  }

  bool sees(const Segment& s, int64_t i, int64_t j) const {
    const int64_t query = s.q_pos + i, key = s.k_pos + j;
    if (p.window > 0) return key <= query && key > query - p.window;
    return !p.causal || key <= query;
  }
  /// 0 or 1 / (1 - p), as documented in ops/cpu/attention.h.
  double mask(const Segment& s, int64_t h, int64_t i, int64_t j) const {
    if (p.dropout == 0) return 1;
    const auto key = RandomKey::of(kSeed, mix64(kSite, static_cast<uint64_t>(p.head_begin + h)), kStep);
    const int64_t at = s.k_pos + j, sample = samples.t.as<int64_t>()[s.q_begin + i];
    const Philox4 block = key.draw(mix64(static_cast<uint64_t>(sample), static_cast<uint64_t>(s.q_pos + i)),
                                   static_cast<uint64_t>(at / 4));
    const bool keep = block[static_cast<size_t>(at % 4)] >> 8 >= std::lround(p.dropout * 0x1p24);
    return keep ? 1.0 / (1.0 - p.dropout) : 0.0;
  }
  size_t q_at(int64_t row, int64_t h) const { return static_cast<size_t>((row * p.heads + h) * p.d); }
  size_t k_at(int64_t row, int64_t h) const {
    return static_cast<size_t>((row * p.kv_heads + h * p.kv_heads / p.heads) * p.d);
  }
  double dot(const Doubles& a, size_t ai, const Doubles& b, size_t bi) const {
    double sum = 0;
    for (int64_t c = 0; c < p.d; ++c) sum += a[ai + static_cast<size_t>(c)] * b[bi + static_cast<size_t>(c)];
    return sum;
  }
  void axpy(Doubles& to, size_t ti, double factor, const Doubles& from, size_t fi) const {
    for (int64_t c = 0; c < p.d; ++c) to[ti + static_cast<size_t>(c)] += factor * from[fi + static_cast<size_t>(c)];
  }

  /// f(segment, head, query, probabilities by key, log-sum-exp) for every query of every segment.
  template <class F>
  void for_each_row(F f) const {
    const Doubles qv = q.values(), kv = k.values();
    for (const Segment& s : p.segments)
      for (int64_t h = 0; h < p.heads; ++h)
        for (int64_t i = 0; i < s.q_len; ++i) {
          Doubles prob(static_cast<size_t>(s.k_len), -INFINITY);
          double top = -INFINITY, sum = 0;
          for (int64_t j = 0; j < s.k_len; ++j)
            if (sees(s, i, j)) {
              prob[static_cast<size_t>(j)] =
                  double{kScale} * dot(qv, q_at(s.q_begin + i, h), kv, k_at(s.k_begin + j, h));
              top = std::max(top, prob[static_cast<size_t>(j)]);
            }
          for (const double x : prob) sum += std::isinf(x) ? 0 : std::exp(x - top);
          const double log_sum = sum > 0 ? top + std::log(sum) : -INFINITY;
          for (double& x : prob) x = std::isinf(x) ? 0 : std::exp(x - log_sum);
          f(s, h, i, prob, log_sum);
        }
  }
  void reference(Doubles& out, Doubles& log_sums) const {
    const Doubles vv = v.values();
    out.assign(static_cast<size_t>(nq * p.heads * p.d), 0);
    log_sums.assign(static_cast<size_t>(nq * p.heads), 0);
    for_each_row([&](const Segment& s, int64_t h, int64_t i, const Doubles& prob, double log_sum) {
      log_sums[static_cast<size_t>((s.q_begin + i) * p.heads + h)] = log_sum;
      for (int64_t j = 0; j < s.k_len; ++j)
        axpy(out, q_at(s.q_begin + i, h), prob[static_cast<size_t>(j)] * mask(s, h, i, j), vv, k_at(s.k_begin + j, h));
    });
  }
  Gradients reference_gradients() const {
    const Doubles qv = q.values(), kv = k.values(), vv = v.values(), gv = d_o.values(), ov = o.values();
    Gradients g{Doubles(qv.size()), Doubles(kv.size()), Doubles(vv.size())};
    for_each_row([&](const Segment& s, int64_t h, int64_t i, const Doubles& prob, double) {
      const size_t qi = q_at(s.q_begin + i, h);
      const double delta = dot(gv, qi, ov, qi);
      for (int64_t j = 0; j < s.k_len; ++j) {
        const size_t kj = k_at(s.k_begin + j, h);
        const double pj = prob[static_cast<size_t>(j)], keep = mask(s, h, i, j);
        const double ds = double{kScale} * pj * (keep * dot(gv, qi, vv, kj) - delta);
        axpy(g.dq, qi, ds, kv, kj);
        axpy(g.dk, kj, ds, qv, qi);
        axpy(g.dv, kj, pj * keep, gv, qi);
      }
    });
    return g;
  }
  /// Of a chain of sums over the head and the keys, relative to the whole result.
  double bound(DType out) const { return rounding(out, static_cast<double>(p.d + nk + 32)); }

  void expect_right() {
    OpContext op;
    forward(op.ctx());
    Doubles want, want_lse;
    reference(want, want_lse);
    EXPECT_LE(relative_error(o.values(), want), bound(p.q_type));
    expect_close(lse.values(), want_lse, 1e-6, bound(DType::f32) * 4, "lse");
    backward(op.ctx());
    const Gradients g = reference_gradients();
    const double least = std::sqrt(static_cast<double>(g.dq.size()));  // one key: dp - delta cancels to 0
    EXPECT_LE(relative_error(dq.values(), g.dq, least), 2 * bound(p.q_type)) << "dq";
    EXPECT_LE(relative_error(dk.values(), g.dk, least), 2 * bound(p.k_type)) << "dk";
    EXPECT_LE(relative_error(dv.values(), g.dv), 2 * bound(p.k_type)) << "dv";
    for (const Owned* t : {&o, &dq, &dk, &dv}) EXPECT_TRUE(t->padding_intact());
  }

  Case p;
  int64_t nq = 0, nk = 0;
  Owned q, k, v, d_o, o, lse, dq, dk, dv, samples;
};

void check(const Case& p) { Problem(p).expect_right(); }

TEST(Attention, IsRightForLengthsAroundTheTileSizes) {
  for (const int32_t n : {1, 2, 17, 63, 64, 65, 127, 128, 129, 300}) check({.segments = packed({n})});
}

TEST(Attention, IsRightForSharedKeyHeads) {
  check({.heads = 4, .kv_heads = 2, .segments = packed({150})});
  check({.heads = 6, .kv_heads = 1, .segments = packed({1, 70, 1})});
}

TEST(Attention, IsRightForAnyHeadSizeAndStride) {
  for (const int64_t d : {1, 7, 64, 100}) check({.d = d, .segments = packed({140}), .pad = 3});
}

TEST(Attention, IsRightForPackedSegments) { check({.segments = packed({40, 1, 130, 0, 77})}); }

TEST(Attention, IsRightForDifferentQueriesAndKeys) {
  const std::vector<Segment> chunk_after_cache = {{0, 33, 0, 200, 167, 0}, {33, 1, 200, 190, 189, 0}};
  check({.heads = 4, .segments = chunk_after_cache});
  const std::vector<Segment> keys_start_late = {{0, 80, 0, 90, 10, 50}};  // the first 40 queries see nothing
  check({.segments = keys_start_late});
  check({.segments = {{0, 30, 0, 150, 0, 0}}, .causal = false});
}

TEST(Attention, IsRightWithoutCausality) { check({.heads = 4, .segments = packed({100, 200}), .causal = false}); }

TEST(Attention, IsRightWithinAWindow) {
  for (const int64_t window : {1, 5, 64, 100, 1000}) check({.segments = packed({300, 20}), .window = window});
  check({.segments = {{0, 1, 0, 290, 289, 0}}, .window = 37});
  check({.segments = packed({200}), .causal = false, .window = 30});
}

TEST(Attention, IsRightForOneQueryOnManyKeys) {
  for (const int64_t kv_heads : {1, 2, 8}) {
    check({.heads = 8, .kv_heads = kv_heads, .segments = {{0, 1, 0, 1000, 999, 0}}});
    check({.heads = 8, .kv_heads = kv_heads, .segments = {{0, 1, 0, 500, 499, 0}}, .k_type = DType::bf16});
  }
}

TEST(Attention, IsRightForEveryStorageType) {
  for (const DType q : {DType::f32, DType::bf16, DType::f16})
    for (const DType k : {DType::f32, DType::bf16, DType::f16})
      check({.heads = 4, .kv_heads = 2, .segments = packed({90, 60}), .q_type = q, .k_type = k, .pad = 1});
}

TEST(Attention, DropsWhatTheDocumentedBitsSay) {
  check({.segments = packed({150, 9}), .dropout = 0.3F, .head_begin = 4});
  check({.heads = 4, .kv_heads = 2, .segments = {{0, 40, 0, 143, 103, 0}, {40, 1, 143, 90, 92, 3}}, .dropout = 0.5F});
}

TEST(Attention, DropsTheSameOnEveryRankOfASplitOverHeads) {
  Problem whole({.heads = 4, .kv_heads = 4, .segments = packed({70}), .dropout = 0.4F});
  Problem part({.heads = 2, .kv_heads = 2, .segments = packed({70}), .dropout = 0.4F, .head_begin = 2});
  part.q.t = whole.q.t.slice(1, 2, 4);
  part.k.t = whole.k.t.slice(1, 2, 4);
  part.v.t = whole.v.t.slice(1, 2, 4);
  OpContext op;
  whole.forward(op.ctx());
  part.forward(op.ctx());
  EXPECT_EQ(read(part.o.t), read(whole.o.t.slice(1, 2, 4)));
}

TEST(Attention, DropsNothingOutsideTraining) {
  Problem with({.segments = packed({70}), .dropout = 0.4F}), without({.segments = packed({70})});
  OpContext op;
  with.prepare(op.ctx());
  op.ctx().train = false;
  attention_forward(op.ctx(), with.o.t, with.lse.t, with.q.t, with.k.t, with.v.t, with.args());
  without.forward(op.ctx());
  EXPECT_TRUE(with.o.same_bits(without.o));
}

TEST(Attention, GivesZeroAndMinusInfinityWhereNoKeyIsSeen) {
  Problem p({.segments = {{0, 80, 0, 90, 10, 50}, {80, 3, 90, 0, 0, 0}}});
  OpContext op;
  p.forward(op.ctx());
  p.backward(op.ctx());
  const Doubles o = p.o.values(), lse = p.lse.values(), dq = p.dq.values();
  for (const int64_t row : {0, 39, 80, 82}) {
    EXPECT_EQ(lse[static_cast<size_t>(row * 2)], -INFINITY);
    EXPECT_EQ(o[p.q_at(row, 0)], 0);
    EXPECT_EQ(dq[p.q_at(row, 0)], 0);
  }
  EXPECT_NE(o[p.q_at(40, 0)], 0);
}

TEST(Attention, WritesZeroGradientsAndNoOutputsOutsideTheSegments) {
  Problem p({.segments = packed({70}), .extra_rows = 5});
  write(p.o.t, Doubles(p.o.values().size(), 3));
  OpContext op;
  p.forward(op.ctx());
  p.backward(op.ctx());
  EXPECT_EQ(p.o.values()[p.q_at(70, 0)], 3);
  for (const Owned* t : {&p.dq, &p.dk, &p.dv}) EXPECT_EQ(t->values()[p.q_at(74, 1)], 0);
}

TEST(Attention, BackwardMatchesCentralDifferences) {
  for (const float dropout : {0.0F, 0.3F}) {
    Problem p({.heads = 2, .kv_heads = 1, .d = 3, .segments = packed({5, 4}), .dropout = dropout});
    OpContext op;
    const Doubles weights = p.d_o.values();
    const auto loss = [&] {
      p.forward(op.ctx());
      const Doubles o = p.o.values();
      double sum = 0;
      for (size_t i = 0; i < o.size(); ++i) sum += o[i] * weights[i];
      return sum;
    };
    loss();
    p.backward(op.ctx());
    for (const auto& [x, dx] : {std::pair{&p.q, &p.dq}, {&p.k, &p.dk}, {&p.v, &p.dv}}) {
      Doubles numeric;
      const double h = 1.0 / 128;
      for (int64_t i = 0; i < x->t.numel(); ++i) {
        const float at = x->t.f32()[i];
        x->t.f32()[i] = static_cast<float>(at + h);
        const double up = loss();
        x->t.f32()[i] = static_cast<float>(at - h);
        const double down = loss();
        x->t.f32()[i] = at;
        numeric.push_back((up - down) / (2 * h));
      }
      EXPECT_LE(relative_error(dx->values(), numeric), 1e-4);  // h^2 of truncation, epsilon / h of rounding
    }
  }
}

TEST(Attention, GivesTheSameBitsAtAnyNumberOfThreads) {
  for (const Case& x : {Case{.heads = 4, .segments = packed({260, 70, 1, 130}), .dropout = 0.1F},
                        Case{.heads = 8, .kv_heads = 2, .segments = {{0, 1, 0, 1500, 1499, 0}}}}) {
    Problem p(x);
    for (const Owned* result : {&p.o, &p.lse, &p.dq, &p.dk, &p.dv})
      expect_same_bits_at_any_threads(*result, [&](Ctx& ctx) {
        p.forward(ctx);
        p.backward(ctx);
      });
  }
}

TEST(Attention, CountsVisiblePairsAndTakesThePlannedScratchAndNoHeap) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem p({.heads = 4, .kv_heads = 2, .segments = packed({130, 40}), .q_type = dtype, .k_type = dtype});
    OpContext op;
    p.forward(op.ctx());
    p.backward(op.ctx());
    const int64_t before = num_allocations();
    p.forward(op.ctx());
    EXPECT_EQ(op.count().matmul_flops, 4.0 * 4 * 16 * (130 * 131 / 2 + 40 * 41 / 2) * (2 + 2.5));
    p.backward(op.ctx());
    EXPECT_EQ(num_allocations(), before);

    const auto plan = OpContext::planning();
    p.prepare(plan->ctx());
    const auto meta = [](const Owned& x) { return on_meta(x.t); };
    attention_forward(plan->ctx(), meta(p.o), meta(p.lse), meta(p.q), meta(p.k), meta(p.v), p.args());
    attention_backward(plan->ctx(), meta(p.dq), meta(p.dk), meta(p.dv), meta(p.d_o), meta(p.q), meta(p.k), meta(p.v),
                       meta(p.o), meta(p.lse), p.args());
    EXPECT_EQ(plan->temp().peak(), op.temp().peak());
  }
}

TEST(Attention, ForwardScratchDoesNotDependOnTheLength) {
  Problem small({.segments = packed({10})}), large({.segments = packed({700})});
  OpContext a, b;
  small.forward(a.ctx());
  large.forward(b.ctx());
  EXPECT_EQ(a.temp().peak(), b.temp().peak());
}

TEST(Attention, CountsThePairsThatItsQueriesSee) {
  for (const int32_t q_len : {0, 1, 5})
    for (const int32_t k_len : {0, 1, 3, 9})
      for (const int32_t q_pos : {0, 2, 11})
        for (const int32_t k_pos : {0, 4, 30})
          for (const int64_t window : {0, 1, 3, 20})
            for (const bool causal : {false, true}) {
              const std::vector<Segment> segments = {{0, q_len, 0, k_len, q_pos, k_pos}, {9, 2, 0, 4, 1, 0}};
              const AttentionArgs args{.segments = segments, .causal = causal, .window = window, .sample_ids = {}};
              int64_t pairs = 0;
              for (const Segment& s : segments)
                for (int64_t i = 0; i < s.q_len; ++i) {
                  const Range keys = visible_keys(s, args, i);
                  pairs += keys.end - keys.begin;
                }
              EXPECT_EQ(visible_pairs(args), pairs) << q_len << " at " << q_pos << ", " << k_len << " at " << k_pos;
            }
}

TEST(Attention, RefusesSegmentsOutsideTheTensors) {
  Problem p({.segments = packed({10})});
  p.p.segments[0].k_len = 11;
  OpContext op;
  EXPECT_THROW(p.forward(op.ctx()), Bug);
}

}  // namespace
}  // namespace trireme
