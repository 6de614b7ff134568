// Every layout trains the same model: loss, every gradient and the weights after two updates equal those of one rank, with
// dropout on. Thread ranks, tiny models.
#include <gtest/gtest.h>

#include <cmath>

#include "comm/local.h"
#include "support/gather.h"
#include "support/tiny_models.h"

namespace trireme {
namespace {

using testing::GlobalTensors;

struct Layout {
  const char* name;
  Mesh mesh;
  int zero_stage = 0;
  Recompute recompute = Recompute::none;
  bool bitwise = false;  // sums keep their order
};

struct Outcome {
  std::vector<double> losses, norms;
  GlobalTensors gradients, weights;  // gradients of the first step
};

Outcome train(const ModelConfig& model, const Layout& layout, int total_micro_batches) {
  constexpr int64_t kBatch = 2, kLength = 13;
  Outcome out;
  std::mutex mutex;
  run_local_ranks(layout.mesh, [&](int rank, const Groups& groups) {
    ThreadPool pool(1);
    EngineConfig config;
    config.model = model;
    config.memory.recompute = layout.recompute;
    config.zero_stage = layout.zero_stage;
    config.micro_batch_size = kBatch;
    config.sequence_length = kLength;
    config.micro_batches = total_micro_batches / layout.mesh.dp;
    config.seed = 5;
    config.optimizer.clip_grad_norm = 0.5;
    Engine engine(config, groups, pool);
    engine.set_poison(true);
    engine.initialise();
    for (int step = 0; step < 2; ++step) {
      testing::TokenBatches data(model.vocab_size, kBatch, kLength, config.micro_batches, groups.dp->rank(), groups.dp->size(), 7 + static_cast<uint64_t>(step));
      const double loss = engine.forward_backward(data.batches, step);
      const double norm = engine.gradient_norm(data.batches, step);
      if (step == 0) testing::gather(out.gradients, mutex, engine, true);
      engine.update(step, 1e-2, norm);
      if (rank == 0) {
        const std::lock_guard lock(mutex);
        out.losses.push_back(loss);
        out.norms.push_back(norm);
      }
    }
    testing::gather(out.weights, mutex, engine, false);
    EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());
    const ArenaSizes peaks = engine.arena_peaks();
    EXPECT_EQ(peaks.keep, engine.memory_plan().arenas.keep);
    EXPECT_EQ(peaks.carry, engine.memory_plan().arenas.carry);
  });
  return out;
}

/// Largest difference relative to the tensor's largest element. Sums of n f32 products whose parts were added in another
/// order differ by about eps * sqrt(n) of that; 400 eps covers the longest sums here (N = 156 tokens through 3 layers).
constexpr double kBound = 400 * 0x1p-23;

void expect_equal(const GlobalTensors& expected, const GlobalTensors& found, bool bitwise, double bound) {
  for (const auto& [name, whole] : expected) {
    const auto other = found.find(name);
    ASSERT_NE(other, found.end()) << name;
    ASSERT_EQ(whole.size(), other->second.size()) << name;
    double largest = 0, worst = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(whole[i])));
      worst = std::max(worst, std::abs(static_cast<double>(whole[i]) - other->second[i]));
    }
    if (bitwise)
      EXPECT_EQ(worst, 0) << name;
    else
      EXPECT_LE(worst, bound * largest) << name << ", largest element " << largest;
  }
}

void expect_parity(const ModelConfig& model, const Layout& layout, int micro_batches) {
  SCOPED_TRACE(cat(model.model_type, ", ", layout.name, ", ", micro_batches, " micro-batches"));
  const Outcome one = train(model, {"one rank", {}}, micro_batches), many = train(model, layout, micro_batches);
  for (size_t i = 0; i < one.losses.size(); ++i) {
    EXPECT_NEAR(one.losses[i], many.losses[i], layout.bitwise ? 0 : kBound * one.losses[i]);
    // A double sum of all squares, of which each stage has its part: the order of the parts differs.
    EXPECT_NEAR(one.norms[i], many.norms[i], (layout.bitwise ? 4 * 0x1p-52 : kBound) * one.norms[i]);
  }
  expect_equal(one.gradients, many.gradients, layout.bitwise, kBound);
  // Adam divides by the root of the second moment: where a gradient is near zero, its relative error moves the weight by up
  // to a learning rate (1e-2 here, against weights of about 0.02 to 1).
  expect_equal(one.weights, many.weights, layout.bitwise, 0.05);
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
};

TEST(Parity, EveryLayoutTrainsGpt2LikeOneRank) {
  for (const Layout& layout : kLayouts) expect_parity(testing::tiny_gpt2(0.2), layout, 6);
}

TEST(Parity, EveryLayoutTrainsLlamaLikeOneRank) {
  for (const Layout& layout : kLayouts) expect_parity(testing::tiny_llama(0.1), layout, 6);
}

TEST(Parity, TiedLlamaUnderPipelineAndZero3) {
  ModelConfig model = testing::tiny_llama();
  model.tie_word_embeddings = true;
  for (const Layout& layout : {Layout{"pipeline=2", {.pp = 2}}, Layout{"zero=3", {.dp = 2}, 3}, Layout{"tensor=2", {.tp = 2}}})
    expect_parity(model, layout, 2);
}

TEST(Parity, PipelineWithoutTiedHeadIsBitwiseEqual) {
  expect_parity(testing::tiny_llama(0.1), {"pipeline=2", {.pp = 2}, 0, Recompute::none, true}, 3);
}

TEST(Parity, ADifferentSeedIsNoticed) {
  // The comparison itself must be able to fail.
  const Outcome a = train(testing::tiny_gpt2(), {"one rank", {}}, 1);
  ModelConfig other = testing::tiny_gpt2();
  other.norm_eps = 1e-3;
  const Outcome b = train(other, {"one rank", {}}, 1);
  EXPECT_GT(std::abs(a.losses[1] - b.losses[1]), kBound * a.losses[1]);
}

}  // namespace
}  // namespace trireme
