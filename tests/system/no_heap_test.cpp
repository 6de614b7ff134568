// A step takes nothing from the heap, and its arenas need exactly what the plan said.
#include <gtest/gtest.h>

#include "support/allocations.h"
#include "support/tiny_models.h"
#include "train/engine.h"

namespace trireme {
namespace {

struct Case {
  Recompute recompute;
  int threads;
  int64_t batch;
  int micro_batches;
};

void expect_planned_step(const ModelConfig& model, const Case& c) {
  SCOPED_TRACE(cat(model.model_type, ", recompute ", kRecomputeNames[static_cast<size_t>(c.recompute)], ", ", c.threads,
                   " threads, batch ", c.batch, ", ", c.micro_batches, " micro-batches"));
  constexpr int64_t kLength = 13;
  constexpr int kWarmUp = 2, kSteps = 5;
  ThreadPool pool(c.threads);
  SingleGroup single;
  EngineConfig config;
  config.model = model;
  config.memory.recompute = c.recompute;
  config.micro_batch_size = c.batch;
  config.sequence_length = kLength;
  config.micro_batches = c.micro_batches;
  Engine engine(config, Groups::alone(single), pool);
  engine.initialise();
  const testing::TokenBatches data(model.vocab_size, c.batch, kLength, c.micro_batches);
  int64_t before = 0;
  for (int step = 0; step < kSteps; ++step) {
    if (step == kWarmUp) before = testing::num_allocations();
    engine.train(data.batches, step, 1e-3);
    engine.evaluate(data.batches[0]);
  }
  EXPECT_EQ(testing::num_allocations(), before);

  const MemoryPlan& plan = engine.memory_plan();
  const ArenaSizes peaks = engine.arena_peaks();
  EXPECT_EQ(peaks.keep, plan.arenas.keep);
  EXPECT_EQ(peaks.rebuild, plan.arenas.rebuild);
  EXPECT_EQ(peaks.temp, plan.arenas.temp);
  EXPECT_EQ(peaks.carry, plan.arenas.carry);
  EXPECT_EQ(engine.allocated_bytes(), plan.total());
}

TEST(Step, TakesNothingFromTheHeapAndWhatThePlanSaysFromTheArenas) {
  for (const ModelConfig& model : {testing::tiny_gpt2(0.1), testing::tiny_llama(0.1)})
    for (const Recompute recompute : {Recompute::none, Recompute::cheap, Recompute::block})
      for (const int threads : {1, 2})
        for (const int64_t batch : {2, 3}) expect_planned_step(model, {recompute, threads, batch, batch == 3 ? 2 : 1});
}

TEST(Step, TheCountOfAllocationsCanFail) {
  const int64_t before = testing::num_allocations();
  std::vector<int>(100).swap(*std::make_unique<std::vector<int>>());
  EXPECT_GT(testing::num_allocations(), before);
}

}  // namespace
}  // namespace trireme
