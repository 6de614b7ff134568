// What an engine does beside training rightly: damaged numbers are named, plans cost nothing, 16-bit parameters learn,
// evaluation alone takes parameters and arenas only.
#include "train/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/gather.h"
#include "support/tiny_models.h"
#include "train/metrics.h"

namespace trireme {
namespace {

constexpr int64_t kBatch = 2, kLength = 13;

class EngineTest : public ::testing::Test {
 protected:
  EngineConfig config(const ModelConfig& model, int micro_batches = 2) const {
    EngineConfig c;
    c.model = model;
    c.micro_batch_size = kBatch;
    c.sequence_length = kLength;
    c.micro_batches = micro_batches;
    c.seed = 3;
    return c;
  }
  Engine make(const EngineConfig& c) { return {c, groups, pool}; }

  /// What is said when a step is tried; empty where it goes well.
  static std::string complaint(Engine& engine) {
    testing::TokenBatches data(engine.config().model.vocab_size, kBatch, kLength, engine.config().micro_batches);
    try {
      engine.forward_backward(data.batches, 4);
      engine.gradient_norm(data.batches, 4);
    } catch (const NumericError& e) {
      return e.what();
    }
    return "";
  }
  static Tensor value(Engine& engine, const std::string& name) {
    for (const Param& p : engine.params())
      if (p.spec.name == name) return p.value;
    CHECK(false, "no parameter ", name);
  }
  static std::vector<std::byte> weights(Engine& engine) {
    std::vector<std::byte> all;
    for (const Param& p : engine.params()) {
      const auto* begin = static_cast<const std::byte*>(p.value.data);
      all.insert(all.end(), begin, begin + p.value.bytes());
    }
    return all;
  }

  SingleGroup single;
  Groups groups = Groups::alone(single);
  ThreadPool pool{2};
};

struct Planted {
  const char *parameter, *unit, *op;
  float value;
};

class BadNumbers : public EngineTest, public ::testing::WithParamInterface<Planted> {};

TEST_P(BadNumbers, AreNamedByUnitAndOpAndLeaveTheWeightsAlone) {
  const Planted& planted = GetParam();
  for (const Recompute recompute : {Recompute::none, Recompute::cheap, Recompute::block}) {
    EngineConfig c = config(testing::tiny_gpt2());
    c.memory.recompute = recompute;
    Engine engine = make(c);
    engine.initialise();
    const Tensor t = value(engine, planted.parameter);
    std::fill_n(t.f32(), std::isnan(planted.value) ? 1 : t.numel(), planted.value);
    const std::vector<std::byte> before = weights(engine);
    const std::string said = complaint(engine);
    for (const std::string part : {"step 5: ", planted.unit, planted.op, "The weights are as before this step"})
      EXPECT_NE(said.find(part), std::string::npos) << part << " in: " << said;
    EXPECT_EQ(weights(engine), before);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Engine, BadNumbers,
    ::testing::Values(
        Planted{"embedding.positions.weight", "embedding, forward, micro-batch 0", "embedding_forward", std::nanf("")},
        Planted{"blocks.1.attn.out.weight", "block 1, forward, micro-batch 0", "matmul", std::nanf("")},
        Planted{"blocks.2.norm2.bias", "block 2, forward, micro-batch 0", "layer_norm_forward", std::nanf("")},
        Planted{"head.norm.weight", "head, ", "layer_norm_forward", std::nanf("")},
        Planted{"blocks.1.mlp.up.weight", "block 1, forward, micro-batch 0", "matmul", 3e38F}));

TEST_F(EngineTest, AnInfBornInBackwardIsNamedThere) {
  // A gain of zero keeps the forward pass of the branch at zero, whatever the matrices behind it are.
  Engine engine = make(config(testing::tiny_gpt2()));
  engine.initialise();
  const Tensor gain = value(engine, "blocks.1.norm2.weight");
  std::fill_n(gain.f32(), gain.numel(), 0.0F);
  for (const char* name : {"blocks.1.mlp.down.weight", "blocks.1.mlp.up.weight"}) {
    const Tensor t = value(engine, name);
    for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] *= 1e23F;
  }
  const std::vector<std::byte> before = weights(engine);
  const std::string said = complaint(engine);
  for (const std::string part : {"the gradient norm is", "block 1, backward, micro-batch 0: matmul"})
    EXPECT_NE(said.find(part), std::string::npos) << part << " in: " << said;
  EXPECT_EQ(weights(engine), before);
}

TEST_F(EngineTest, HealthyNumbersAreNotComplainedAbout) {
  Engine engine = make(config(testing::tiny_llama(0.1)));
  engine.initialise();
  EXPECT_EQ(complaint(engine), "");
}

TEST_F(EngineTest, SixteenBitParametersLearnLikeFloat32) {
  const auto train = [&](DType dtype, Engine& engine) {
    std::vector<double> losses;
    testing::TokenBatches data(engine.config().model.vocab_size, kBatch, kLength, 2);
    for (int step = 0; step < 30; ++step) {
      losses.push_back(engine.train(data.batches, step, 3e-3).loss);
    }
    EXPECT_EQ(engine.param_store().dtype(), dtype);
    return losses;
  };
  for (const ModelConfig& model : {testing::tiny_gpt2(), testing::tiny_llama()}) {
    EngineConfig c = config(model);
    Engine exact = make(c);
    exact.initialise();
    const std::vector<double> expected = train(DType::f32, exact);
    EXPECT_LT(expected.back(), 0.7 * expected.front());
    for (const DType dtype : {DType::bf16, DType::f16}) {
      c.precision.param_dtype = dtype;
      Engine engine = make(c);
      engine.initialise();
      const std::vector<double> losses = train(dtype, engine);
      // Every activation is rounded to half a unit in the last place; through some 30 of them that adds as the root.
      EXPECT_NEAR(losses.front(), expected.front(), 6 * dtype_epsilon(dtype) * expected.front()) << dtype_name(dtype);
      // Later the paths part, as any two runs do; what was learnt stays alike.
      EXPECT_NEAR(losses.back(), expected.back(), 0.02 * (expected.front() - expected.back())) << dtype_name(dtype);
      EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());

      // Weights are the masters, rounded; and the masters hold more than the weights do.
      int64_t masters = 0, finer = 0;
      for (const AdamW::Piece& piece : engine.optimizer().pieces(engine.param_store())) {
        if (std::string(piece.kind) != "master") continue;
        masters += piece.state.values.numel();
        for (int64_t i = 0; i < piece.state.values.numel(); ++i) {
          const float master = piece.state.values.f32()[i];
          const Tensor& w = piece.param->value;
          const float weight = dtype == DType::bf16 ? to_float(w.as<bf16_t>()[i]) : to_float(w.as<f16_t>()[i]);
          ASSERT_EQ(weight, dtype == DType::bf16 ? to_float(high_half(master)) : to_float(to_f16(master)))
              << piece.param->spec.name;
          finer += master != weight ? 1 : 0;
        }
      }
      EXPECT_EQ(masters, engine.memory_plan().num_parameters);
      EXPECT_GT(finer, masters / 2);
    }
  }
}

TEST_F(EngineTest, EvaluationAloneTakesParametersAndArenasOnly) {
  for (const ModelConfig& model : {testing::tiny_gpt2(0.3), testing::tiny_llama()}) {
    Engine trained = make(config(model)), forward_only = make(config(model, 0));
    for (Engine* engine : {&trained, &forward_only}) engine->initialise();
    const MemoryPlan& plan = forward_only.memory_plan();
    EXPECT_EQ(plan.gradients + plan.optimizer, 0);
    EXPECT_EQ(plan.parameters, trained.memory_plan().parameters);
    EXPECT_LT(plan.arenas.total(), trained.memory_plan().arenas.total());
    EXPECT_EQ(forward_only.allocated_bytes(), plan.total());

    testing::TokenBatches data(model.vocab_size, kBatch, kLength, 2);
    forward_only.set_poison(true);
    for (const Batch& batch : data.batches) EXPECT_EQ(forward_only.evaluate(batch), trained.evaluate(batch));
    const ArenaSizes peaks = forward_only.arena_peaks();
    EXPECT_EQ(peaks.rebuild, plan.arenas.rebuild);
    EXPECT_EQ(peaks.temp, plan.arenas.temp);
    EXPECT_EQ(peaks.carry, plan.arenas.carry);
    EXPECT_TRUE(peaks.keep.empty());
  }
}

TEST_F(EngineTest, PlansOfLargeModelsTakeNoMemory) {
  for (const char* name : {"llama3-8b", "ti-100b"}) {
    EngineConfig c;
    c.model = ModelConfig::from_json(Json(name));
    c.micro_batch_size = 4;
    c.sequence_length = 1024;
    c.micro_batches = 4;
    const double before = peak_memory_bytes();
    const MemoryPlan plan = Engine::plan(c, groups, pool);
    EXPECT_LT(peak_memory_bytes() - before, 64 << 20) << name;
    EXPECT_GE(plan.parameters, 4 * plan.num_parameters);
    EXPECT_EQ(plan.parameters, plan.gradients);
    EXPECT_EQ(plan.optimizer, 2 * plan.parameters);
    // Twice the multiply-adds forward and twice that backward for each matrix parameter; attention comes on top.
    const double tokens = 4.0 * 4 * 1024;
    EXPECT_GT(plan.model_flops, 6 * tokens * 0.9 * static_cast<double>(plan.num_parameters)) << name;
    EXPECT_LT(plan.model_flops, 6 * tokens * 1.1 * static_cast<double>(plan.num_parameters)) << name;
  }
}

}  // namespace
}  // namespace trireme
