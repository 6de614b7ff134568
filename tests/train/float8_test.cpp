// Training with products of 8-bit floats: the same with every kind of recompute, near bfloat16, refused where it cannot
// be.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "support/tiny_models.h"
#include "train/engine.h"

namespace trireme {
namespace {

constexpr int64_t kBatch = 2, kLength = 16;

ModelConfig gpt2() { return testing::tiny_gpt2(0.1); }

ModelConfig llama() {
  ModelConfig c = testing::tiny_llama();
  c.hidden_size = 32;
  c.intermediate_size = 48;
  return c;
}

class Float8Training : public ::testing::Test {
 protected:
  static EngineConfig config(const ModelConfig& model, LinearDtype linear_dtype) {
    EngineConfig c;
    c.model = model;
    c.precision.param_dtype = DType::bf16;
    c.precision.linear_dtype = linear_dtype;
    c.micro_batch_size = kBatch;
    c.sequence_length = kLength;
    c.micro_batches = 2;
    c.seed = 3;
    return c;
  }
  /// Loss and gradient norm of each step, and a loss after it.
  std::vector<double> train(const EngineConfig& c, int steps, double lr) {
    Engine engine(c, groups_, pool_);
    engine.set_poison(true);
    engine.initialise();
    std::vector<double> out;
    for (int s = 0; s < steps; ++s) {
      const testing::TokenBatches data(c.model.vocab_size, kBatch, kLength, c.micro_batches, 0, 1,
                                       static_cast<uint64_t>(s % 4));
      out.push_back(engine.forward_backward(data.batches, s));
      out.push_back(engine.gradient_norm(data.batches, s));
      engine.update(s, lr);
      out.push_back(engine.evaluate(data.batches[0]));
    }
    EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());
    EXPECT_EQ(engine.arena_peaks().total(), engine.memory_plan().arenas.total());
    return out;
  }

  SingleGroup single_;
  Groups groups_ = Groups::alone(single_);
  ThreadPool pool_{2};
};

TEST_F(Float8Training, IsTheSameToTheBitWithEveryRecompute) {
  for (const ModelConfig& model : {gpt2(), llama()}) {
    EngineConfig c = config(model, LinearDtype::float8);
    const std::vector<double> want = train(c, 3, 1e-2);
    c.memory.recompute = Recompute::automatic;
    const int64_t all = model.num_hidden_layers;
    for (const RecomputeSplit& split :
         {RecomputeSplit{1, 1}, RecomputeSplit{0, all}, RecomputeSplit{all}, RecomputeSplit{0, 0, all}}) {
      c.split = split;
      EXPECT_EQ(train(c, 3, 1e-2), want) << model.model_type << ", " << split.block << ", " << split.cheap;
    }
  }
}

TEST_F(Float8Training, MeasuresWeightsAnewOnceTheyHaveChanged) {
  for (ModelConfig model : {gpt2(), llama()}) {
    model.resid_pdrop = model.embd_pdrop = model.attn_pdrop = 0;
    const EngineConfig c = config(model, LinearDtype::float8);
    Engine engine(c, groups_, pool_);
    engine.initialise();
    const testing::TokenBatches data(model.vocab_size, kBatch, kLength, c.micro_batches, 0, 1, 0);
    for (int s = 0; s < 3; ++s) {
      const double sum = engine.forward_backward(data.batches, s) * data.batches[0].total_weight;
      double alone = 0;  // an evaluation measures weights whenever it is asked
      for (const Batch& batch : data.batches) alone += engine.evaluate(batch);
      EXPECT_NEAR(sum, alone, 1e-5 * alone) << model.model_type << ", step " << s;
      engine.update(s, 0.1);  // five times the deviation that weights begin with
    }
  }
}

TEST_F(Float8Training, KeepsFewerBytesThanBfloat16) {
  for (const ModelConfig& model : {gpt2(), llama()}) {
    const auto keeps = [&](LinearDtype linear_dtype) {
      return Engine::plan(config(model, linear_dtype), groups_, pool_).arenas.keep[0];
    };
    EXPECT_LT(keeps(LinearDtype::float8), keeps(LinearDtype::same)) << model.model_type;
  }
}

TEST_F(Float8Training, LearnsAsBfloat16Does) {
  for (ModelConfig model : {gpt2(), llama()}) {
    model.resid_pdrop = model.embd_pdrop = model.attn_pdrop = 0;
    const int steps = 160;
    const std::vector<double> same = train(config(model, LinearDtype::same), steps, 3e-3),
                              float8 = train(config(model, LinearDtype::float8), steps, 3e-3);
    EXPECT_NEAR(float8[0], same[0], 0.01 * same[0]);
    EXPECT_NEAR(float8[1], same[1], 0.05 * same[1]);
    EXPECT_NE(float8[0], same[0]);
    double apart = 0;
    for (size_t s = 3 * (steps - 16); s < same.size(); s += 3) apart += (float8[s] - same[s]) / 16;
    const double fall = same[0] - same[same.size() - 3];
    std::printf("%s: loss %.4f -> %.4f in bfloat16, %.4f -> %.4f in float8, apart by %+.4f of the fall\n",
                model.model_type.c_str(), same[0], same[same.size() - 3], float8[0], float8[float8.size() - 3],
                apart / fall);
    EXPECT_GT(fall, 0.3 * same[0]);
    EXPECT_LT(std::abs(apart), 0.03 * fall);
  }
}

TEST_F(Float8Training, IsRefusedWhereItCannotBe) {
  const auto refusal = [&](const EngineConfig& c) -> std::string {
    try {
      Engine::plan(c, groups_, pool_);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  EngineConfig c = config(gpt2(), LinearDtype::float8);
  EXPECT_EQ(refusal(c), "");
  c.sequence_length = 15;
  EXPECT_NE(refusal(c).find("30 are on a rank"), std::string::npos) << refusal(c);
  c = config(gpt2(), LinearDtype::float8);
  c.precision.param_dtype = DType::f32;
  EXPECT_NE(refusal(c).find("bfloat16 only, not float32"), std::string::npos) << refusal(c);
  c = config(testing::tiny_llama(), LinearDtype::float8);
  EXPECT_NE(refusal(c).find("blocks.0.attn.qkv.weight of a rank is (64, 24)"), std::string::npos) << refusal(c);
}

}  // namespace
}  // namespace trireme
