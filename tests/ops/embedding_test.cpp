#include "ops/embedding.h"

#include "ops/op_test.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class Embedding : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, Embedding, storage_types(), dtype_test_name);

constexpr int64_t kVocab = 50, kChannels = 700, kTokens = 80;

/// Many tokens twice or more; the first and the last of the vocabulary among them.
Owned random_ids() {
  Doubles values;
  for (const double v : random_values(kTokens, 1)) values.push_back(std::floor((v + 1) / 2 * kVocab));
  values[0] = 0;
  values[1] = kVocab - 1;
  return {DType::i32, {kTokens}, values};
}

TEST_P(Embedding, LooksUpRows) {
  const Owned ids = random_ids();
  for (const DType table_type : {DType::f32, DType::bf16, DType::f16}) {
    const Owned table(table_type, {kVocab, kChannels}, random_values(kVocab * kChannels, 2), 3);
    Owned y(GetParam(), {kTokens, kChannels}, 5);
    OpContext op;
    embedding_forward(op.ctx(), y.t, ids.t, table.t, 0);
    const Doubles rows = table.values(), id = ids.values();
    Doubles want;
    for (size_t i = 0; i < static_cast<size_t>(kTokens * kChannels); ++i)
      want.push_back(rows[static_cast<size_t>(id[i / kChannels]) * kChannels + i % kChannels]);
    expect_close(y.values(), want, rounding(GetParam(), 0), 1e-7, "y");
    EXPECT_TRUE(y.padding_intact());
    embedding_forward(op.ctx(), y.t, ids.t, table.t, 0, true);
    for (double& v : want) v *= 2;
    expect_close(y.values(), want, 3 * rounding(GetParam(), 0), 2e-7, "y accumulated");
  }
}

TEST_P(Embedding, ThreeUnevenSlicesOfTheVocabularyEqualTheWhole) {
  const Owned ids = random_ids();
  const Owned table(GetParam(), {kVocab, kChannels}, random_values(kVocab * kChannels, 2));
  const Owned dy(GetParam(), {kTokens, kChannels}, random_values(kTokens * kChannels, 3), 2);
  Owned whole(GetParam(), {kTokens, kChannels}), sliced(GetParam(), {kTokens, kChannels}, Doubles(kTokens * kChannels));
  const Doubles before = random_values(kVocab * kChannels, 4);
  Owned dwhole(DType::f32, {kVocab, kChannels}, before), dsliced(DType::f32, {kVocab, kChannels}, before);
  OpContext op;
  embedding_forward(op.ctx(), whole.t, ids.t, table.t, 0);
  embedding_backward(op.ctx(), dwhole.t, ids.t, dy.t, 0);
  for (const auto& [begin, end] : {std::pair{0, 7}, {7, 8}, {8, 50}}) {
    embedding_forward(op.ctx(), sliced.t, ids.t, table.t.slice(0, begin, end), begin, true);
    embedding_backward(op.ctx(), dsliced.t.slice(0, begin, end), ids.t, dy.t, begin);
  }
  EXPECT_TRUE(whole.same_bits(sliced));
  EXPECT_TRUE(dwhole.same_bits(dsliced));
}

TEST_P(Embedding, BackwardAddsTheRowsOfEachToken) {
  const Owned ids = random_ids();
  const Owned dy(GetParam(), {kTokens, kChannels}, random_values(kTokens * kChannels, 3), 2);
  Doubles want = random_values(kVocab * kChannels, 4);
  Owned dtable(DType::f32, {kVocab, kChannels}, want, 4);
  OpContext op;
  embedding_backward(op.ctx(), dtable.t, ids.t, dy.t, 0);
  const Doubles d = dy.values(), id = ids.values();
  Doubles size = want;
  for (double& v : size) v = std::abs(v);
  for (size_t i = 0; i < d.size(); ++i) {
    const size_t at = static_cast<size_t>(id[i / kChannels]) * kChannels + i % kChannels;
    want[at] += d[i];
    size[at] += std::abs(d[i]);
  }
  const Doubles got = dtable.values();
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], want[i], sum_bound(kTokens, size[i], want[i], DType::f32));
  EXPECT_TRUE(dtable.padding_intact());
}

TEST_P(Embedding, IdsOutsideTheSliceGiveZeroAndNoGradient) {
  const Owned ids(DType::i32, {3}, Doubles{-100, 9, 10});
  const Owned table(GetParam(), {5, 4}, Doubles(20, 1.0));
  Owned y(GetParam(), {3, 4}), dtable(DType::f32, {5, 4}, Doubles(20));
  OpContext op;
  embedding_forward(op.ctx(), y.t, ids.t, table.t, 5);
  EXPECT_EQ(y.values(), (Doubles{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
  embedding_backward(op.ctx(), dtable.t, ids.t, y.t, 5);
  Doubles want(20);
  for (size_t i = 16; i < 20; ++i) want[i] = 1;
  EXPECT_EQ(dtable.values(), want);
}

TEST_P(Embedding, SameBitsAtAnyNumberOfThreads) {
  const Owned ids = random_ids();
  const Owned table(GetParam(), {kVocab, kChannels}, random_values(kVocab * kChannels, 2));
  Owned y(GetParam(), {kTokens, kChannels}), dtable(DType::f32, {kVocab, kChannels});
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) { embedding_forward(ctx, y.t, ids.t, table.t, 0); });
  expect_same_bits_at_any_threads(dtable, [&](Ctx& ctx) {
    write(dtable.t, Doubles(kVocab * kChannels));
    embedding_backward(ctx, dtable.t, ids.t, y.t, 0);
  });
}

TEST(Embedding, OnMetaCountsAndTouchesNothing) {
  const Owned ids(DType::i32, {3}), table(DType::bf16, {5, 4}), dtable(DType::f32, {5, 4}), y(DType::bf16, {3, 4});
  const auto meta = OpContext::planning();
  embedding_forward(meta->ctx(), on_meta(y.t), on_meta(ids.t), on_meta(table.t), 0);
  embedding_backward(meta->ctx(), on_meta(dtable.t), on_meta(ids.t), on_meta(y.t), 0);
  EXPECT_EQ(meta->count().calls, 2);
}

}  // namespace
}  // namespace trireme
