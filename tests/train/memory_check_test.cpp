// What is advised where a run does not fit, for limits between the plans of a tiny model.
#include "train/memory_check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/tiny_models.h"

namespace trireme {
namespace {

class MemoryCheck : public ::testing::Test {
 protected:
  MemoryCheck() {
    config_.model = testing::tiny_gpt2(0);
    config_.micro_batch_size = 8;
    config_.sequence_length = 24;
  }
  int64_t needed(Recompute recompute, int64_t batch) {
    EngineConfig c = config_;
    c.memory.recompute = recompute;
    c.micro_batches = static_cast<int>(c.micro_batch_size / batch);
    c.micro_batch_size = batch;
    return Engine::plan(c, groups_, pool_).total();
  }
  std::string advice(int64_t limit) { return cheapest_change(config_, groups_, pool_, limit); }

  SingleGroup single_;
  Groups groups_ = Groups::alone(single_);
  ThreadPool pool_{1};
  EngineConfig config_;
};

TEST_F(MemoryCheck, AdvisesTheCheapestChangeThatFits) {
  const int64_t cheap = needed(Recompute::cheap, 8), half = needed(Recompute::none, 4);
  ASSERT_LT(cheap, needed(Recompute::none, 8));
  ASSERT_LT(half, cheap);
  EXPECT_EQ(advice(cheap), "memory.recompute=cheap");
  EXPECT_EQ(advice(cheap - 1), "data.micro_batch_size=4");
  EXPECT_EQ(advice(half - 1), "data.micro_batch_size=2");
  const int64_t least = needed(Recompute::none, 1), blocks = needed(Recompute::block, 1);
  EXPECT_EQ(advice(least), "data.micro_batch_size=1");
  ASSERT_LT(blocks, least);
  EXPECT_EQ(advice(blocks), "memory.recompute=block data.micro_batch_size=1");
  EXPECT_EQ(advice(1000), "");
}

TEST_F(MemoryCheck, AdvisesARemainderFirstAndSmallerMomentsLast) {
  config_.precision.param_dtype = DType::bf16;
  EngineConfig c = config_;
  c.precision.master = Master::remainder;
  const int64_t remainder = Engine::plan(c, groups_, pool_).total();
  EXPECT_EQ(advice(remainder), "precision.master=remainder");
  ASSERT_LT(needed(Recompute::cheap, 8), remainder);
  EXPECT_EQ(advice(remainder - 1), "memory.recompute=cheap");
  c.memory.recompute = Recompute::block;
  c.micro_batch_size = 1;
  c.micro_batches = 8;
  const int64_t all = Engine::plan(c, groups_, pool_).total();
  EXPECT_EQ(advice(all), "precision.master=remainder memory.recompute=block data.micro_batch_size=1");
  c.optimizer.moments = Moments::bfloat16;
  const std::string halves = "precision.master=remainder optimizer.moments=bfloat16 ";
  EXPECT_EQ(advice(Engine::plan(c, groups_, pool_).total()).substr(0, halves.size()), halves);
  c.optimizer.moments = Moments::eight_bit;
  EXPECT_EQ(advice(Engine::plan(c, groups_, pool_).total()),
            "precision.master=remainder optimizer.moments=8bit memory.recompute=block data.micro_batch_size=1");
}

TEST_F(MemoryCheck, AdvisesBfloat16InPlaceOfFloat32ThenNoMasterAndHalfTheGradients) {
  EngineConfig c = config_;
  c.memory.recompute = Recompute::block;
  c.micro_batch_size = 1;
  c.micro_batches = 8;
  const std::string small = " optimizer.moments=8bit memory.recompute=block data.micro_batch_size=1";
  const auto smallest = [&] { return Engine::plan(c, groups_, pool_).total(); };
  c.optimizer.moments = Moments::eight_bit;
  EXPECT_EQ(advice(smallest()), small.substr(1));
  c.precision.param_dtype = DType::bf16;
  c.precision.master = Master::remainder;
  EXPECT_EQ(advice(smallest()), "precision.param_dtype=bfloat16 precision.master=remainder" + small);
  c.precision.master = Master::none;
  EXPECT_EQ(advice(smallest()), "precision.param_dtype=bfloat16 precision.master=none" + small);
  c.precision.grad_dtype = DType::bf16;
  EXPECT_EQ(advice(smallest()),
            "precision.param_dtype=bfloat16 precision.master=none precision.grad_dtype=bfloat16" + small);
  EXPECT_EQ(advice(smallest() - 1), "");
  config_.precision.tf32 = true;  // which bfloat16 is refused with
  EXPECT_EQ(advice(smallest()),
            "precision.param_dtype=bfloat16 precision.tf32=false precision.master=none precision.grad_dtype=bfloat16" +
                small);
  config_.precision.tf32 = false;
  config_.precision.param_dtype = DType::f16;  // has neither
  EXPECT_EQ(advice(smallest()), "");
}

TEST_F(MemoryCheck, AnEvaluationIsAdvisedFewerWindowsAtOnce) {
  config_.micro_batches = 0;
  config_.micro_batch_size = 12;
  EngineConfig c = config_;
  for (const int64_t windows : {6, 3, 1}) {
    c.micro_batch_size = windows;
    EXPECT_EQ(advice(Engine::plan(c, groups_, pool_).total()), cat("--batch-size ", windows));
  }
  EXPECT_EQ(advice(Engine::plan(c, groups_, pool_).total() - 1), "");
}

TEST_F(MemoryCheck, BlocksAreRunAgainWhereTheBatchCannotBeHalved) {
  config_.micro_batch_size = 7;
  EngineConfig block = config_;
  block.memory.recompute = Recompute::block;
  const int64_t limit = Engine::plan(block, groups_, pool_).total();
  EngineConfig cheap = config_;
  cheap.memory.recompute = Recompute::cheap;
  ASSERT_LT(limit, Engine::plan(cheap, groups_, pool_).total());
  EXPECT_EQ(advice(limit), "memory.recompute=block");
}

TEST_F(MemoryCheck, AutomaticRecomputeIsTheLeastThatFits) {
  config_.memory.recompute = Recompute::automatic;
  const int64_t layers = config_.model.num_hidden_layers;
  std::vector<RecomputeSplit> splits;
  for (int64_t activation = 0; activation < layers; ++activation) splits.push_back({0, 0, activation});
  for (int64_t cheap = 0; cheap <= layers; ++cheap) splits.push_back({0, cheap, layers - cheap});
  for (int64_t block = 1; block <= layers; ++block) splits.push_back({block, layers - block});
  std::vector<int64_t> needs;
  for (const RecomputeSplit& split : splits) {
    config_.split = split;
    const int64_t needed = Engine::plan(config_, groups_, pool_).total();
    const bool opens = split.block == 1;  // memory for blocks that run again
    EXPECT_TRUE(needs.empty() || opens || needed < needs.back()) << needs.size();
    needs.push_back(needed);
  }
  for (const int64_t limit : needs) {
    const auto first = std::find_if(needs.begin(), needs.end(), [&](int64_t needed) { return needed <= limit; });
    EXPECT_EQ(least_recompute(config_, groups_, pool_, limit), splits[static_cast<size_t>(first - needs.begin())]);
  }
  EXPECT_EQ(least_recompute(config_, groups_, pool_, 1000), splits.back());
}

}  // namespace
}  // namespace trireme
