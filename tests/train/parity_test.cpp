// Every layout trains the same model: loss, every gradient and the weights after two updates equal those of one rank,
// with dropout on. Thread ranks, tiny models.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/layout_run.h"
#include "train/layout_rules.h"

namespace trireme {
namespace {

using testing::Defect, testing::distance, testing::Distance, testing::Layout, testing::train;

/// Sums of n f32 products whose parts were added in another order differ by about eps * sqrt(n) of the largest element;
/// 400 eps covers the longest sums here (N = 156 tokens through 3 layers).
constexpr double kBound = 400 * 0x1p-23;
/// Adam divides by the root of the second moment: where a gradient is near zero, its relative error moves the weight by
/// up to a learning rate (1e-2 here, against weights of about 0.02 to 1).
constexpr double kWeightBound = 0.05;

bool small(const Distance& d) {
  return d.loss <= kBound && d.norm <= kBound && d.gradient <= kBound && d.weight <= kWeightBound;
}

void expect_parity(const ModelConfig& model, const Layout& layout, int micro_batches) {
  SCOPED_TRACE(cat(model.model_type, ", ", layout.name, ", ", micro_batches, " micro-batches"));
  const Distance d = distance(train(model, {"one rank"}, micro_batches), train(model, layout, micro_batches));
  EXPECT_TRUE(small(d)) << "loss " << d.loss << ", norm " << d.norm << ", gradient " << d.gradient << ", weight "
                        << d.weight;
  if (!layout.bitwise) return;
  EXPECT_EQ(d.loss + d.gradient + d.weight, 0);
  EXPECT_LE(d.norm, 4 * 0x1p-52);  // a double sum of all squares, of which each stage has its part, in another order
}

const Layout kLayouts[] = {
    {"recompute=cheap", {}, 0, Recompute::cheap, true},
    {"recompute=block", {}, 0, Recompute::block, true},
    {"tensor=2", {.tp = 2}},
    {"tensor=2, recompute=block", {.tp = 2}, 0, Recompute::block},
    {"pipeline=2", {.pp = 2}},
    {"pipeline=3, recompute=block", {.pp = 3}, 0, Recompute::block},
    {"data=2", {.dp = 2}},
    {"data=2, zero=1", {.dp = 2}, 1},
    {"data=2, zero=2", {.dp = 2}, 2},
    {"data=2, zero=3", {.dp = 2}, 3},
    {"data=2, zero=3, recompute=cheap", {.dp = 2}, 3, Recompute::cheap},
    {"tensor=2, data=2, zero=3", {.dp = 2, .tp = 2}, 3},
    {"pipeline=2, tensor=2", {.pp = 2, .tp = 2}},
    {"pipeline=2, data=2, zero=1", {.pp = 2, .dp = 2}, 1},
    {"pipeline=2, data=2, tensor=2, zero=1", {.pp = 2, .dp = 2, .tp = 2}, 1},
    {"tensor=2, sequence", {.tp = 2}, 0, Recompute::none, false, true},
    {"tensor=2, sequence, recompute=cheap", {.tp = 2}, 0, Recompute::cheap, false, true},
    {"tensor=2, sequence, recompute=block", {.tp = 2}, 0, Recompute::block, false, true},
    {"tensor=2, sequence, data=2, zero=3", {.dp = 2, .tp = 2}, 3, Recompute::none, false, true},
    {"pipeline=2, tensor=2, sequence", {.pp = 2, .tp = 2}, 0, Recompute::none, false, true},
    {"pipeline=2, virtual=2", {.pp = 2}, 0, Recompute::none, false, false, 2},
    {"pipeline=2, virtual=2, recompute=block", {.pp = 2}, 0, Recompute::block, false, false, 2},
    {"context=2", {.cp = 2}},
    {"context=3", {.cp = 3}},
    {"context=5", {.cp = 5}},
    {"tensor=3", {.tp = 3}},
    {"tensor=4", {.tp = 4}},
    {"tensor=4, recompute=block, sequence", {.tp = 4}, 0, Recompute::block, false, true},
    {"tensor=3, data=2, zero=1", {.dp = 2, .tp = 3}, 1},
    {"tensor=4, data=2, zero=3", {.dp = 2, .tp = 4}, 3},
    {"pipeline=2, tensor=4", {.pp = 2, .tp = 4}},
    {"pipeline=7", {.pp = 7}},
    {"pipeline=3, virtual=3, recompute=block", {.pp = 3}, 0, Recompute::block, false, false, 3},
    {"tensor=3, context=2, sequence", {.cp = 2, .tp = 3}, 0, Recompute::none, false, true},
    {"context=2, recompute=block", {.cp = 2}, 0, Recompute::block},
    {"context=2, data=2, zero=3", {.dp = 2, .cp = 2}, 3},
    {"context=2, tensor=2, sequence", {.cp = 2, .tp = 2}, 0, Recompute::none, false, true},
    {"pipeline=2, context=2, tensor=2, sequence, zero=1", {.pp = 2, .cp = 2, .tp = 2}, 1, Recompute::none, false, true},
};

TEST(Parity, EveryLayoutTrainsGpt2LikeOneRank) {
  for (const Layout& layout : kLayouts) expect_parity(testing::tiny_gpt2(0.2), layout, 6);
}

TEST(Parity, EveryLayoutTrainsLlamaLikeOneRank) {
  for (const Layout& layout : kLayouts) expect_parity(testing::tiny_llama(0.1), layout, 6);
}

TEST(Layouts, OnlyWhatTheTableSaysIsRefusedAndBeforeAnythingStarts) {
  const ModelConfig model = testing::tiny_gpt2(0.1);
  const auto problems = [&](const ParallelConfig& parallel) {
    return layout_problems({.parallel = parallel, .model = &model});
  };
  EXPECT_TRUE(problems({.data = 2, .tensor = 4, .pipeline = 5, .zero_stage = 1, .sequence_parallel = true}).empty());
  EXPECT_TRUE(problems({.context = 3, .zero_stage = 3}).empty());  // attention dropout is drawn by global position
  EXPECT_EQ(problems({.data = 2, .pipeline = 2, .zero_stage = 2}).size(), 1U);
  EXPECT_TRUE(problems({.pipeline = 6}).empty());  // 5 units
  EXPECT_TRUE(problems({.pipeline = 2, .virtual_pipeline = 3}).empty());
  EXPECT_EQ(problems({.tensor = 5}).size(), 1U);    // 4 heads
  const ModelConfig llama = testing::tiny_llama();  // two key-value heads, four query heads
  EXPECT_TRUE(layout_problems({.parallel = {.tensor = 4}, .model = &llama}).empty());
  ASSERT_EQ(layout_problems({.parallel = {.tensor = 5}, .model = &llama}).size(), 1U);
  EXPECT_NE(layout_problems({.parallel = {.tensor = 5}, .model = &llama})[0].find("the model's 4 query heads"),
            std::string::npos);
  EXPECT_THROW(train(model, {"pipeline=2, zero=2", {.pp = 2}, 2}, 2), ConfigError);
}

TEST(Layouts, TheTableOfRefusalsIsTheOneInTheDocumentation) {
  std::ifstream file(TRIREME_SOURCE_DIR "/docs/design/train.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(page.find(layout_rules_table()), std::string::npos) << "docs/design/train.md should hold this table:\n"
                                                                << layout_rules_table();
}

TEST(Parity, TiedLlamaUnderPipelineAndZero3) {
  ModelConfig model = testing::tiny_llama();
  model.tie_word_embeddings = true;
  for (const Layout& layout :
       {Layout{"pipeline=2", {.pp = 2}}, Layout{"zero=3", {.dp = 2}, 3}, Layout{"tensor=2", {.tp = 2}}})
    expect_parity(model, layout, 2);
}

TEST(Parity, SixteenBitActivationsAreSummedOverRanksInFloat32) {
  // Rounding to bf16 comes at the same places in every layout, but for sums that start from other bits: some last bits.
  const Distance d = [&] {
    Layout one{"one rank"}, many{"tensor=2, context=2, sequence", {.cp = 2, .tp = 2}};
    many.sequence_parallel = true;
    one.dtype = many.dtype = DType::bf16;
    return distance(train(testing::tiny_gpt2(0.1), one, 2), train(testing::tiny_gpt2(0.1), many, 2));
  }();
  const double eps = dtype_epsilon(DType::bf16);
  EXPECT_LE(d.loss, eps);
  EXPECT_LE(d.gradient, 16 * eps);
  EXPECT_LE(d.norm, 4 * eps);
}

TEST(Parity, BlocksThatRecomputeDifferentlyGiveTheSameBits) {
  for (const RecomputeSplit split : {RecomputeSplit{1, 1}, RecomputeSplit{0, 2}, RecomputeSplit{2, 0},
                                     RecomputeSplit{0, 1, 1}, RecomputeSplit{1, 0, 1}}) {
    Layout layout{"one rank", {}, 0, Recompute::automatic, true};
    layout.split = split;
    expect_parity(testing::tiny_gpt2(0.1), layout, 2);
    expect_parity(testing::tiny_llama(0.1), layout, 2);
  }
}

TEST(Parity, PipelineWithoutTiedHeadIsBitwiseEqual) {
  expect_parity(testing::tiny_llama(0.1), {"pipeline=2", {.pp = 2}, 0, Recompute::none, true}, 3);
}

// The comparison must be able to fail: each of these mistakes is made on purpose and has to show where it belongs.

Distance effect(const ModelConfig& model, const Layout& layout, const Defect& defect) {
  return distance(train(model, {"one rank"}, 4), train(model, layout, 4, defect));
}

TEST(ParityDefect, ARowParallelBiasOnEveryRankChangesTheLoss) {
  EXPECT_GT(effect(testing::tiny_gpt2(), {"tensor=2", {.tp = 2}}, {.biases_on_every_rank = true}).loss, kBound);
}

TEST(ParityDefect, AShardCountedTwiceChangesTheNorm) {
  // Of a step's two sums of one number over the data axis, the second is the norm's.
  const Distance d = effect(testing::tiny_gpt2(), {"zero=1", {.dp = 2}, 1}, {.data = {.doubled_scalar = 1}});
  EXPECT_GT(d.norm, kBound);
  EXPECT_LE(d.gradient, kBound);
}

TEST(ParityDefect, ALostMicroBatchChangesLossAndGradients) {
  for (const Layout& layout : {Layout{"one rank"}, Layout{"data=2", {.dp = 2}}, Layout{"pipeline=2", {.pp = 2}}}) {
    const Distance d = effect(testing::tiny_llama(), layout, {.loses_micro_batch = true});
    EXPECT_GT(d.loss, kBound) << layout.name;
    EXPECT_GT(d.gradient, kBound) << layout.name;
  }
}

TEST(ParityDefect, EveryMissingTensorParallelSumIsNoticed) {
  // 4 micro-batches of embedding, 2 forward sums and 2 backward ones a block, max and sum of the loss, head.
  const int sums = 4 * (1 + 3 * 4 + 3);
  for (int missing = 0; missing < sums; missing += 5)
    EXPECT_FALSE(small(effect(testing::tiny_gpt2(), {"tensor=2", {.tp = 2}}, {.tensor = {.skipped_sum = missing}})))
        << missing;
}

TEST(ParityDefect, EveryMissingDataParallelSumIsNoticed) {
  for (int unit = 0; unit < 5; ++unit)
    EXPECT_GT(effect(testing::tiny_gpt2(), {"data=2", {.dp = 2}}, {.data = {.skipped_sum = unit}}).gradient, kBound)
        << unit;
}

TEST(ParityDefect, MeansInPlaceOfSumsAreNoticed) {
  for (const Layout& layout :
       {Layout{"data=2", {.dp = 2}}, Layout{"zero=1", {.dp = 2}, 1}, Layout{"zero=2", {.dp = 2}, 2}})
    EXPECT_GT(effect(testing::tiny_llama(), layout, {.data = {.averages = true}}).gradient, kBound) << layout.name;
}

TEST(ParityDefect, PartsGatheredInTheWrongOrderAreNoticed) {
  EXPECT_GT(effect(testing::tiny_llama(), {"zero=1", {.dp = 2}, 1}, {.data = {.shifted_gather = true}}).loss, kBound);
}

TEST(ParityDefect, AnotherEpsilonIsNoticed) {
  ModelConfig other = testing::tiny_gpt2();
  other.norm_eps = 1e-3;
  EXPECT_FALSE(small(distance(train(testing::tiny_gpt2(), {"one rank"}, 1), train(other, {"one rank"}, 1))));
}

}  // namespace
}  // namespace trireme
