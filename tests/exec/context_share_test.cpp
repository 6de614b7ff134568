// Attention on context ranks equals attention on one rank, for documents packed into samples, windows, grouped heads
// and dropout; and every rank has the same work.
#include "exec/context_share.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "comm/local.h"
#include "layers/context_attention.h"
#include "params/init.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

constexpr int64_t kSamples = 2, kLength = 24, kTokens = kSamples * kLength, kHeads = 4, kKeyHeads = 2, kSize = 4;

std::vector<float> random_floats(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(RandomKey::of(seed, 0).draw(0, i)[0]) * 0x1p-31F - 1.0F;
  return x;
}

/// A micro-batch with two documents in its first sample and three in the second. Tokens are row numbers.
struct Packed {
  Packed() {
    for (const auto& [begin, length] : {std::pair(0, 7), {7, 17}, {24, 5}, {29, 1}, {30, 18}}) {
      segments.push_back({begin, length, begin, length, 0, 0});
      for (int i = 0; i < length; ++i) positions.push_back(i);
    }
    std::iota(rows.begin(), rows.end(), 0);
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = 100 + static_cast<int64_t>(i) / kLength;
    batch.tokens = batch.targets = {rows.data(), DType::i32, kCpu, {kTokens}};
    batch.positions = {positions.data(), DType::i32, kCpu, {kTokens}};
    batch.weights = {weights.data(), DType::f32, kCpu, {kTokens}};
    batch.sample_ids = {samples.data(), DType::i64, kCpu, {kTokens}};
    batch.segments = segments;
  }
  std::vector<Segment> segments;
  std::vector<int32_t> rows = std::vector<int32_t>(kTokens), positions;
  std::vector<float> weights = std::vector<float>(kTokens, 1.0F);
  std::vector<int64_t> samples = std::vector<int64_t>(kTokens);
  Batch batch;
};

/// Tensors of one attention with room for results.
struct Tensors {
  explicit Tensors(int64_t rows) : n(rows) {}
  Tensor heads(std::vector<float>& values, int64_t count) const {
    return {values.data(), DType::f32, kCpu, {n, count, kSize}};
  }
  int64_t n;
  std::vector<float> q = random_floats(n * kHeads * kSize, 1), k = random_floats(n * kKeyHeads * kSize, 2),
                     v = random_floats(n * kKeyHeads * kSize, 3), d_o = random_floats(n * kHeads * kSize, 4);
  std::vector<float> o = std::vector<float>(q.size()), lse = std::vector<float>(static_cast<size_t>(n * kHeads)),
                     dq = o, dk = std::vector<float>(k.size()), dv = dk;
};

std::vector<float> rows_of(const std::vector<float>& whole, const Tensor& rows) {
  const int64_t width = static_cast<int64_t>(whole.size()) / kTokens;
  std::vector<float> own;
  for (int64_t i = 0; i < rows.numel(); ++i)
    own.insert(own.end(), whole.begin() + rows.i32()[i] * width, whole.begin() + (rows.i32()[i] + 1) * width);
  return own;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 64 * 0x1p-24) << what << " " << i;
}

void compare(int ranks, int64_t window, float dropout) {
  SCOPED_TRACE(cat(ranks, " ranks, window ", window, ", dropout ", dropout));
  Packed packed;
  AttentionArgs args{.segments = packed.segments, .scale = 0.5F, .window = window, .dropout = dropout, .site = 3};
  args.sample_ids = packed.batch.sample_ids;
  const auto ctx_with = [](Arena& temp) {
    Ctx ctx;
    ctx.temp = &temp;
    ctx.train = true;
    return ctx;
  };
  Arena whole_temp("temp", kCpu, 1 << 22);
  Ctx whole_ctx = ctx_with(whole_temp);
  Tensors w(kTokens);
  const Tensor lse(w.lse.data(), DType::f32, kCpu, {kTokens, kHeads});
  attention_forward(whole_ctx, w.heads(w.o, kHeads), lse, w.heads(w.q, kHeads), w.heads(w.k, kKeyHeads),
                    w.heads(w.v, kKeyHeads), args);
  attention_backward(whole_ctx, w.heads(w.dq, kHeads), w.heads(w.dk, kKeyHeads), w.heads(w.dv, kKeyHeads),
                     w.heads(w.d_o, kHeads), w.heads(w.q, kHeads), w.heads(w.k, kKeyHeads), w.heads(w.v, kKeyHeads),
                     w.heads(w.o, kHeads), lse, args);

  run_local_ranks({.cp = ranks}, [&](int rank, const Groups& groups) {
    ContextDealer dealer({kSamples, kLength, rank, ranks}, 1, kCpu);
    const Batch own = dealer.deal(std::span(&packed.batch, 1))[0];
    AttentionArgs own_args = args;
    own_args.segments = {};
    own_args.sample_ids = own.sample_ids;
    Arena temp("temp", kCpu, 1 << 22);
    Ctx ctx = ctx_with(temp);
    Tensors t(own.num_tokens());
    t.q = rows_of(w.q, own.tokens);
    t.k = rows_of(w.k, own.tokens);
    t.v = rows_of(w.v, own.tokens);
    t.d_o = rows_of(w.d_o, own.tokens);
    const Tensor own_lse(t.lse.data(), DType::f32, kCpu, {t.n, kHeads});
    context_attention_forward(ctx, *groups.cp, t.heads(t.o, kHeads), own_lse, t.heads(t.q, kHeads),
                              t.heads(t.k, kKeyHeads), t.heads(t.v, kKeyHeads), own_args, own.context);
    context_attention_backward(
        ctx, *groups.cp,
        {t.heads(t.dq, kHeads), t.heads(t.dk, kKeyHeads), t.heads(t.dv, kKeyHeads), t.heads(t.d_o, kHeads),
         t.heads(t.q, kHeads), t.heads(t.k, kKeyHeads), t.heads(t.v, kKeyHeads), t.heads(t.o, kHeads), own_lse},
        own_args, own.context);
    expect_near(t.o, rows_of(w.o, own.tokens), "o");
    expect_near(t.lse, rows_of(w.lse, own.tokens), "lse");
    expect_near(t.dq, rows_of(w.dq, own.tokens), "dq");
    expect_near(t.dk, rows_of(w.dk, own.tokens), "dk");
    expect_near(t.dv, rows_of(w.dv, own.tokens), "dv");
  });
}

TEST(ContextShare, AttentionOverPackedDocumentsEqualsThatOfOneRank) {
  for (const int ranks : {2, 3, 4})
    for (const int64_t window : {0, 4}) compare(ranks, window, 0);
}

TEST(ContextShare, AttentionDropoutIsDrawnByGlobalPosition) {
  for (const int ranks : {2, 3}) compare(ranks, 0, 0.3F);
}

TEST(ContextShare, EveryRankHasTheSameWorkUnderACausalMask) {
  const std::vector<Segment> segments{{0, kLength, 0, kLength, 0, 0}, {kLength, kLength, kLength, kLength, 0, 0}};
  Packed packed;
  packed.batch.segments = segments;
  for (const int ranks : {2, 3, 4})
    for (int rank = 0; rank < ranks; ++rank) {
      ContextDealer dealer({kSamples, kLength, rank, ranks}, 1, kCpu);
      const Batch own = dealer.deal(std::span(&packed.batch, 1))[0];
      int64_t pairs = 0;
      for (const auto& half : own.context.halves)
        for (const Segment& s : half)
          for (int i = 0; i < s.q_len; ++i) pairs += s.q_pos + i + 1 - s.k_pos;
      EXPECT_EQ(pairs, kSamples * kLength * (kLength + 1) / 2 / ranks) << rank << " of " << ranks;
    }
}

/// Marks the rows of segments; each row of a batch must be in one.
void cover(std::vector<int>& rows, std::span<const Segment> segments, int64_t first) {
  for (const Segment& s : segments)
    for (int i = 0; i < s.q_len; ++i) ++rows.at(static_cast<size_t>(first + s.q_begin + i));
}

TEST(ContextShare, PaddingWeighsNothingAndEveryRowIsInOneSegment) {
  for (const int ranks : {1, 2, 5, 7})
    for (const int64_t multiple : {1, 5, 64}) {
      SCOPED_TRACE(cat(ranks, " ranks, tokens a multiple of ", multiple));
      Packed packed;
      std::vector<int> seen(kTokens);
      for (int rank = 0; rank < ranks; ++rank) {
        const ContextShape shape{kSamples, kLength, rank, ranks, multiple};
        ContextDealer dealer(shape, 1, kCpu);
        for (int again = 0; again < 2; ++again) dealer.deal(std::span(&packed.batch, 1));
        const Batch own = dealer.deal(std::span(&packed.batch, 1))[0];
        ASSERT_EQ(own.num_tokens(), shape.tokens());
        EXPECT_EQ(shape.tokens() % multiple, 0);
        std::vector<int> covered(static_cast<size_t>(own.num_tokens()));
        cover(covered, own.segments, 0);
        for (int64_t half = 0; half < 2; ++half)
          cover(covered, own.context.halves[static_cast<size_t>(half)], half * own.num_tokens() / 2);
        for (int64_t i = 0; i < own.num_tokens(); ++i) {
          EXPECT_EQ(covered[static_cast<size_t>(i)], 1) << i;
          if (own.weights.f32()[i] > 0) ++seen[static_cast<size_t>(own.tokens.i32()[i])];
        }
      }
      EXPECT_EQ(seen, std::vector<int>(kTokens, 1));
    }
}

TEST(ContextShare, ASegmentThatCrossesSamplesIsABug) {
  Packed packed;
  const std::vector<Segment> segments{{0, kTokens, 0, kTokens, 0, 0}};
  packed.batch.segments = segments;
  ContextDealer dealer({kSamples, kLength, 0, 2}, 1, kCpu);
  EXPECT_THROW(dealer.deal(std::span(&packed.batch, 1)), Bug);
}

}  // namespace
}  // namespace trireme
