// Float16 runs: a loss scale that is too large is found out and lowered, alike on all ranks, and costs nothing but the
// steps that were left out.
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "support/gather.h"
#include "support/layout_run.h"
#include "support/tiny_models.h"
#include "train/engine.h"

namespace trireme {
namespace {

using testing::Layout;

EngineConfig float16(const ModelConfig& model, const Layout& layout = {"one rank"}) {
  EngineConfig c = testing::engine_config(model, layout, 4, {.length = 8});
  c.precision.param_dtype = DType::f16;
  c.seed = 3;
  return c;
}

/// One rank's engine on the same batch again and again.
struct Rank {
  Rank(const EngineConfig& config, const Groups& groups)
      : engine(config, groups, pool), data(testing::step_data(config, groups, 7)) {
    engine.initialise();
  }
  /// Whether the weights were updated.
  bool step(int64_t step) {
    loss = engine.forward_backward(data.batches, step);
    const double norm = engine.gradient_norm(data.batches, step);
    engine.update(step, 1e-2);
    return std::isfinite(norm);
  }
  std::vector<uint16_t> weights() {
    std::vector<uint16_t> all;
    for (const Param& p : engine.params())
      all.insert(all.end(), p.value.as<uint16_t>(), p.value.as<uint16_t>() + p.value.numel());
    return all;
  }

  ThreadPool pool{1};
  Engine engine;
  testing::TokenBatches data;
  double loss = 0;
};

TEST(LossScale, ARunRecoversFromOverflowsAndIsThenTheRunThatNeverHadThem) {
  SingleGroup single;
  const Groups groups = Groups::alone(single);
  for (const ModelConfig& model : {testing::tiny_gpt2(), testing::tiny_llama()}) {
    EngineConfig config = float16(model);
    config.precision.scaling.initial_scale_power = 32;
    Rank planted(config, groups);
    const std::vector<uint16_t> first = planted.weights();
    Json before_first_update;
    int64_t step = 0;
    for (; !planted.step(step); ++step) {
      before_first_update = planted.engine.loss_scaler().state();
      ASSERT_LT(step, 32);
      EXPECT_EQ(planted.weights(), first);
      EXPECT_TRUE(std::isfinite(planted.loss));
    }
    EXPECT_GT(step, 1);  // hysteresis: the first overflow changes nothing
    EXPECT_EQ(planted.engine.loss_scaler().skipped(), step);
    EXPECT_EQ(planted.engine.loss_scaler().scale(), std::exp2(33 - static_cast<double>(step)));
    const int64_t recovered = step;
    for (; step < recovered + 20; ++step) planted.step(step + 1);
    EXPECT_EQ(planted.engine.allocated_bytes(), planted.engine.memory_plan().total());

    Rank healthy(config, groups);  // the same, but that nothing happened before
    healthy.engine.loss_scaler().restore(before_first_update);
    for (int64_t i = recovered; i <= step; ++i) healthy.step(i);
    EXPECT_EQ(planted.weights(), healthy.weights());
    EXPECT_LT(healthy.loss, 0.9 * std::log(static_cast<double>(model.vocab_size)));
  }
}

TEST(LossScale, GradientsBelowFloat16AreKept) {
  SingleGroup single;
  EngineConfig config = float16(testing::tiny_llama());
  const auto norm = [&](double scale, DType dtype) {
    config.precision.scaling.loss_scale = scale;
    config.precision.param_dtype = dtype;
    Rank rank(config, Groups::alone(single));
    for (Batch& batch : rank.data.batches) batch.total_weight *= 1e6;  // a very large batch: each gradient is tiny
    rank.engine.forward_backward(rank.data.batches, 0);
    return rank.engine.gradient_norm(rank.data.batches, 0);
  };
  const double exact = norm(0, DType::f32);
  EXPECT_LT(norm(1, DType::f16), 0.9 * exact);
  EXPECT_NEAR(norm(65536, DType::f16), exact, 0.02 * exact);
}

TEST(LossScale, AnOverflowOnOneRankIsOneOnAll) {
  const Layout layouts[] = {{"data=4, zero=3", {.dp = 4}, 3},
                            {"data=2, zero=1, pipeline=2", {.pp = 2, .dp = 2}, 1},
                            {"data=2, zero=2, tensor=2, sequence", {.dp = 2, .tp = 2}, 2, Recompute::none, false, true},
                            {"tensor=2, pipeline=2", {.pp = 2, .tp = 2}},
                            {"context=2, data=2", {.dp = 2, .cp = 2}}};
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(layout.name);
    std::mutex mutex;
    std::vector<std::string> states;
    run_local_ranks(layout.mesh, [&](int, const Groups& groups) {
      EngineConfig config = float16(testing::tiny_gpt2(), layout);
      config.precision.scaling.hysteresis = 1;
      config.precision.scaling.loss_scale_window = 2;
      Rank r(config, groups);
      const bool has_head_of_first_sample = groups.pp->rank() + 1 == groups.pp->size() && groups.dp->rank() == 0 &&
                                            groups.tp->rank() == 0 && groups.cp->rank() == 0;
      int skipped = 0;
      for (int64_t step = 0; step < 8; ++step) {
        // The gradient of one token of one rank is beyond float16 in some steps.
        const bool planted = has_head_of_first_sample && (step == 3 || step == 4);
        r.data.batches[0].weights.f32()[0] = planted ? 1e30F : 1.0F;
        skipped += r.step(step) ? 0 : 1;
      }
      const std::lock_guard lock(mutex);
      states.push_back(r.engine.loss_scaler().state().dump());
      EXPECT_GE(skipped, 1);
    });
    for (const std::string& state : states) EXPECT_EQ(state, states[0]);
  }
}

TEST(LossScale, AnOverflowAtTheSmallestScaleNamesTheTensorAndEndsTheRun) {
  SingleGroup single;
  EngineConfig config = float16(testing::tiny_gpt2());
  config.precision.scaling.initial_scale_power = 0;
  Rank rank(config, Groups::alone(single));
  for (const Param& p : rank.engine.params())
    if (p.spec.name == "blocks.1.mlp.down.weight")
      for (int64_t i = 0; i < p.value.numel(); ++i) p.value.as<f16_t>()[i] = to_f16(6e4F);
  EXPECT_FALSE(rank.step(0));  // forgiven
  try {
    rank.step(1);
    FAIL() << "the run goes on";
  } catch (const NumericError& e) {
    const std::string said = e.what();
    for (const std::string part : {"step 2: gradients overflow at the smallest loss scale, precision.min_loss_scale=1",
                                   "block 1, forward, micro-batch 0: matmul", "precision.param_dtype=bfloat16"})
      EXPECT_NE(said.find(part), std::string::npos) << part << " in: " << said;
  }
}

}  // namespace
}  // namespace trireme
