// Every layout trains the same model: loss, every gradient and the weights after two updates equal those of one rank,
// with dropout on. Thread ranks, tiny models.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "comm/local.h"
#include "params/init.h"
#include "support/faulty_group.h"
#include "support/gather.h"
#include "support/tiny_models.h"
#include "train/layout_rules.h"

namespace trireme {
namespace {

using testing::GlobalTensors;

struct Layout {
  const char* name;
  Mesh mesh = {};
  int zero_stage = 0;
  Recompute recompute = Recompute::none;
  bool bitwise = false;  // sums keep their order
  bool sequence_parallel = false;
  int virtual_pipeline = 1;
};

struct Outcome {
  std::vector<double> losses, norms;
  GlobalTensors gradients, weights;  // gradients of the first step
};

/// What a test does wrongly on purpose.
struct Defect {
  testing::Fault tensor, data;        // of the groups on these axes
  bool biases_on_every_rank = false;  // the bias behind a row-parallel product is added by each tensor rank
  bool loses_micro_batch = false;     // the first micro-batch twice, in place of the second
};

/// The usual initial values, but biases behind row-parallel products that differ from zero and between channels (a norm
/// takes out what all channels share). Adding one on each of n tensor ranks is adding n times its value on the first.
void initialise(Engine& engine, const Group& tp, bool biases_on_every_rank, ThreadPool& pool) {
  const float size = biases_on_every_rank ? static_cast<float>(tp.size()) : 1.0F;
  engine.param_store().assign([&](Param& p) {
    init_param(p, engine.config().seed, pool);
    if (p.spec.name.find("out.bias") == std::string::npos && p.spec.name.find("down.bias") == std::string::npos) return;
    for (int64_t i = 0; i < p.value.numel(); ++i) p.value.f32()[i] = 0.02F * static_cast<float>(i % 5) * size;
  });
  engine.weights_changed();
}

Outcome train(const ModelConfig& model, const Layout& layout, int total_micro_batches, const Defect& defect = {}) {
  constexpr int64_t kBatch = 2, kLength = 12;
  Outcome out;
  std::mutex mutex;
  run_local_ranks(layout.mesh, [&](int rank, const Groups& healthy) {
    testing::FaultyGroup tp(*healthy.tp, defect.tensor), replicas(*healthy.dp_cp, defect.data);
    Groups groups = healthy;
    groups.tp = &tp;
    groups.dp_cp = &replicas;
    ThreadPool pool(1);
    EngineConfig config;
    config.model = model;
    config.memory.recompute = layout.recompute;
    config.zero_stage = layout.zero_stage;
    config.sequence_parallel = layout.sequence_parallel;
    config.virtual_pipeline = layout.virtual_pipeline;
    config.micro_batch_size = kBatch;
    config.sequence_length = kLength;
    config.micro_batches = total_micro_batches / layout.mesh.dp;
    config.seed = 5;
    config.optimizer.clip_grad_norm = 0.5;
    Engine engine(config, groups, pool);
    engine.set_poison(true);
    initialise(engine, tp, defect.biases_on_every_rank, pool);
    for (int step = 0; step < 2; ++step) {
      testing::TokenBatches data(model.vocab_size, kBatch, kLength, config.micro_batches, groups.dp->rank(),
                                 groups.dp->size(), 7 + static_cast<uint64_t>(step));
      if (defect.loses_micro_batch) data.batches[1] = data.batches[0];
      const double loss = engine.forward_backward(data.batches, step);
      const double norm = engine.gradient_norm(data.batches, step);
      if (step == 0) testing::gather(out.gradients, mutex, engine, true);
      engine.update(step, 1e-2, norm);
      engine.evaluate(data.batches[0]);
      if (rank == 0) {
        const std::lock_guard lock(mutex);
        out.losses.push_back(loss);
        out.norms.push_back(norm);
      }
    }
    testing::gather(out.weights, mutex, engine, false);
    EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());
    const ArenaSizes peaks = engine.arena_peaks(), &planned = engine.memory_plan().arenas;
    EXPECT_EQ(peaks.keep, planned.keep);
    EXPECT_EQ(peaks.rebuild, planned.rebuild);
    EXPECT_EQ(peaks.temp, planned.temp);
    EXPECT_EQ(peaks.carry, planned.carry);
  });
  return out;
}

/// Sums of n f32 products whose parts were added in another order differ by about eps * sqrt(n) of the largest element;
/// 400 eps covers the longest sums here (N = 156 tokens through 3 layers).
constexpr double kBound = 400 * 0x1p-23;
/// Adam divides by the root of the second moment: where a gradient is near zero, its relative error moves the weight by
/// up to a learning rate (1e-2 here, against weights of about 0.02 to 1).
constexpr double kWeightBound = 0.05;

/// How far two runs are apart: losses and norms relative, tensors relative to their largest element, the worst of all.
struct Distance {
  double loss = 0, norm = 0, gradient = 0, weight = 0;
  bool small() const { return loss <= kBound && norm <= kBound && gradient <= kBound && weight <= kWeightBound; }
};

double distance(const std::vector<double>& expected, const std::vector<double>& found) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(expected[i] - found.at(i)) / expected[i]);
  return worst;
}

double distance(const GlobalTensors& expected, const GlobalTensors& found) {
  double worst = 0;
  for (const auto& [name, whole] : expected) {
    const std::vector<float>& other = found.at(name);
    EXPECT_EQ(whole.size(), other.size()) << name;
    double largest = 1e-30, difference = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(whole[i])));
      difference = std::max(difference, std::abs(static_cast<double>(whole[i]) - other[i]));
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

Distance distance(const Outcome& expected, const Outcome& found) {
  return {distance(expected.losses, found.losses), distance(expected.norms, found.norms),
          distance(expected.gradients, found.gradients), distance(expected.weights, found.weights)};
}

void expect_parity(const ModelConfig& model, const Layout& layout, int micro_batches) {
  SCOPED_TRACE(cat(model.model_type, ", ", layout.name, ", ", micro_batches, " micro-batches"));
  const Distance d = distance(train(model, {"one rank"}, micro_batches), train(model, layout, micro_batches));
  EXPECT_TRUE(d.small()) << "loss " << d.loss << ", norm " << d.norm << ", gradient " << d.gradient << ", weight "
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
  const auto problems = [&](const ParallelConfig& parallel, int64_t length = 12) {
    return layout_problems({.parallel = parallel, .model = &model, .micro_batch_size = 1, .sequence_length = length});
  };
  EXPECT_TRUE(problems({.data = 2, .tensor = 4, .pipeline = 5, .zero_stage = 1, .sequence_parallel = true}).empty());
  EXPECT_TRUE(problems({.context = 3, .zero_stage = 3}).empty());  // attention dropout is drawn by global position
  EXPECT_EQ(problems({.data = 2, .pipeline = 2, .zero_stage = 2}).size(), 1U);
  EXPECT_EQ(problems({.pipeline = 6}).size(), 1U);  // 5 units
  EXPECT_EQ(problems({.pipeline = 2, .virtual_pipeline = 3}).size(), 1U);
  EXPECT_EQ(problems({.virtual_pipeline = 2}).size(), 1U);
  EXPECT_EQ(problems({.context = 4}).size(), 1U);
  EXPECT_EQ(problems({.tensor = 4, .sequence_parallel = true}, 13).size(), 1U);
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
    EXPECT_FALSE(effect(testing::tiny_gpt2(), {"tensor=2", {.tp = 2}}, {.tensor = {.skipped_sum = missing}}).small())
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
  EXPECT_FALSE(distance(train(testing::tiny_gpt2(), {"one rank"}, 1), train(other, {"one rank"}, 1)).small());
}

}  // namespace
}  // namespace trireme
