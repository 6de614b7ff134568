// Runs whose optimizer keeps its numbers in fewer bits: planned to the byte, continued to the bit, moved between
// layouts, and as good as f32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "checkpoint/save_state.h"
#include "support/layout_run.h"
#include "support/temp_dir.h"
#include "train/state.h"

namespace trireme {
namespace {

using testing::Layout, testing::TempDir;

struct Way {
  Master master;
  Moments moments;
  DType params = DType::bf16, grads = DType::f32;
  std::string name() const {
    return cat(dtype_name(params), ", ", dtype_name(grads), " gradients, ", kMasterNames[static_cast<size_t>(master)],
               " master, ", kMomentsNames[static_cast<size_t>(moments)], " moments");
  }
};

const Way kWays[] = {{Master::float32, Moments::float32, DType::f32},
                     {Master::float32, Moments::bfloat16, DType::f32},
                     {Master::float32, Moments::eight_bit, DType::f32},
                     {Master::float32, Moments::float32},
                     {Master::float32, Moments::bfloat16},
                     {Master::float32, Moments::eight_bit},
                     {Master::remainder, Moments::float32},
                     {Master::remainder, Moments::bfloat16},
                     {Master::remainder, Moments::eight_bit},
                     {Master::none, Moments::float32},
                     {Master::none, Moments::bfloat16},
                     {Master::none, Moments::eight_bit},
                     {Master::float32, Moments::eight_bit, DType::f16},
                     {Master::float32, Moments::float32, DType::bf16, DType::bf16},
                     {Master::remainder, Moments::eight_bit, DType::bf16, DType::bf16},
                     {Master::none, Moments::bfloat16, DType::bf16, DType::bf16}};

struct Rank {
  Rank(const ModelConfig& model, const Way& way, const Layout& layout, const Groups& g, Device device = kCpu)
      : groups(g) {
    EngineConfig c = testing::engine_config(model, layout, 4, {.length = 8});
    c.precision = {.param_dtype = way.params, .master = way.master, .grad_dtype = way.grads};
    c.optimizer.moments = way.moments;
    c.device = device;
    engine.emplace(c, groups, pool);
  }
  double step(int64_t step) {
    const testing::TokenBatches data = testing::step_data(engine->config(), groups, static_cast<uint64_t>(step) % 4);
    return engine->train(data.batches, step, 3e-3).loss;
  }
  SavedCheckpoint save(const std::string& folder) {
    RankState state = engine_state(*engine);
    state.trainer_state["step"] = 3;
    return save_state(folder, 3, state, real_file_system(), nullptr, *groups.io);
  }
  void load(const std::string& path) { restore_state(*engine, Checkpoint(path, nullptr, Check::read)); }

  Groups groups;
  ThreadPool pool{1};
  std::optional<Engine> engine;
};

struct Alone {
  SingleGroup single;
  Groups groups = Groups::alone(single);
};

std::string hash_after(const ModelConfig& model, const Way& way, int64_t steps, Device device = kCpu) {
  Alone alone;
  const TempDir dir;
  Rank rank(model, way, {"one rank"}, alone.groups, device);
  rank.engine->initialise();
  for (int64_t step = 0; step < steps; ++step) rank.step(step);
  return rank.save(dir.path()).state_hash.str();
}

TEST(KeptState, ARemainderTrainsAsTheF32MasterBitForBit) {
  for (const ModelConfig& model : {testing::tiny_gpt2(0.1), testing::tiny_llama()})
    for (const Moments moments : {Moments::float32, Moments::bfloat16, Moments::eight_bit})
      EXPECT_EQ(hash_after(model, {Master::remainder, moments}, 12), hash_after(model, {Master::float32, moments}, 12));
}

TEST(KeptState, ThePlanIsExactAndHasTheBytesOfEachWay) {
  Alone alone;
  for (const Way& way : kWays) {
    SCOPED_TRACE(way.name());
    Rank rank(testing::tiny_llama(), way, {"one rank"}, alone.groups);
    rank.engine->initialise();
    rank.step(0);
    EXPECT_EQ(rank.engine->allocated_bytes(), rank.engine->memory_plan().total());
    int64_t elements = 0, products = 0, blocks = 0;
    for (const UnitLayout& unit : rank.engine->layout().units) {
      elements += unit.numel;
      products += unit.products;
      for (const ParamPlace& place : unit.places) blocks += code_blocks(place.param->local_shape.numel());
    }
    EXPECT_GT(products, elements / 2);
    EXPECT_EQ(rank.engine->memory_plan().gradients, 4 * elements - (way.grads == DType::bf16 ? 2 * products : 0));
    const bool halves = way.params != DType::f32;
    const int64_t master = !halves || way.master == Master::none ? 0 : way.master == Master::remainder ? 2 : 4;
    const int64_t moment = way.moments == Moments::float32 ? 4 : way.moments == Moments::bfloat16 ? 2 : 1;
    EXPECT_EQ(rank.engine->memory_plan().optimizer,
              elements * (master + 2 * moment) + (moment == 1 ? 2 * 4 * blocks : 0));
  }
}

void expect_resumes(Device device) {
  Alone alone;
  for (const Way& way : kWays) {
    SCOPED_TRACE(way.name());
    const TempDir dir;
    const ModelConfig model = testing::tiny_gpt2(0.1);
    Rank whole(model, way, {"one rank"}, alone.groups, device);
    Rank resumed(model, way, {"one rank"}, alone.groups, device);
    whole.engine->initialise();
    for (int64_t step = 0; step < 3; ++step) whole.step(step);
    const SavedCheckpoint saved = whole.save(dir.path("a"));
    EXPECT_EQ(verify_checkpoint(saved.path, nullptr).state_hash, saved.state_hash);
    resumed.load(saved.path);
    resumed.engine->loss_scaler().restore(whole.engine->loss_scaler().state());
    EXPECT_EQ(resumed.save(dir.path("b")).state_hash, saved.state_hash);
    for (int64_t step = 3; step < 8; ++step) ASSERT_EQ(resumed.step(step), whole.step(step));
    EXPECT_EQ(resumed.save(dir.path("c")).state_hash, whole.save(dir.path("d")).state_hash);
    EXPECT_EQ(whole.engine->allocated_bytes(), whole.engine->memory_plan().total());
  }
}

TEST(KeptState, AResumedRunGoesOnBitForBit) { expect_resumes(kCpu); }

TEST(KeptState, OnAGpuARunIsPlannedResumedAndTheSameWithARemainder) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  const Device gpu{DeviceKind::cuda, 0};
  expect_resumes(gpu);
  for (const Moments moments : {Moments::float32, Moments::bfloat16, Moments::eight_bit})
    EXPECT_EQ(hash_after(testing::tiny_llama(), {Master::remainder, moments}, 12, gpu),
              hash_after(testing::tiny_llama(), {Master::float32, moments}, 12, gpu));
}

TEST(KeptState, MovesBetweenLayouts) {
  const Layout layouts[] = {{"one rank"},
                            {"data=4, zero=3", {.dp = 4}, 3},
                            {"data=2, zero=1, pipeline=2", {.pp = 2, .dp = 2}, 1},
                            {"data=2, zero=2, tensor=2", {.dp = 2, .tp = 2}, 2},
                            {"context=2, data=2", {.dp = 2, .cp = 2}}};
  const Way ways[] = {{Master::remainder, Moments::bfloat16},
                      {Master::none, Moments::bfloat16},
                      {Master::remainder, Moments::eight_bit}};
  ModelConfig model = testing::tiny_llama();
  model.tie_word_embeddings = true;
  for (const Way& way : ways) {
    for (size_t f = 0; f < std::size(layouts); ++f) {
      const TempDir dir;
      SavedCheckpoint saved;
      double next = 0;
      run_local_ranks(layouts[f].mesh, [&](int rank, const Groups& groups) {
        Rank r(model, way, layouts[f], groups);
        r.engine->initialise();
        for (int64_t step = 0; step < 3; ++step) r.step(step);
        const SavedCheckpoint s = r.save(dir.path("from"));
        const double loss = r.step(3);
        if (rank == 0) saved = s, next = loss;
      });
      const Layout& to = layouts[(f + 2) % std::size(layouts)];
      SCOPED_TRACE(cat(way.name(), ": ", layouts[f].name, " -> ", to.name));
      run_local_ranks(to.mesh, [&](int rank, const Groups& groups) {
        Rank r(model, way, to, groups);
        r.load(saved.path);
        const SavedCheckpoint again = r.save(dir.path("to"));
        const double loss = r.step(3);
        if (rank > 0) return;
        // Blocks of 8-bit moments begin elsewhere in another layout: their values are rounded anew.
        if (way.moments != Moments::eight_bit) {
          EXPECT_EQ(again.state_hash.str(), saved.state_hash.str());
        }
        EXPECT_NEAR(loss, next, dtype_epsilon(DType::bf16) * next);
      });
    }
  }
}

TEST(KeptState, ACheckpointOfOneWayLoadsInAnotherThatHasItsParts) {
  Alone alone;
  const TempDir dir;
  const ModelConfig model = testing::tiny_llama();
  Rank from(model, {Master::float32, Moments::float32}, {"one rank"}, alone.groups);
  from.engine->initialise();
  for (int64_t step = 0; step < 3; ++step) from.step(step);
  const SavedCheckpoint saved = from.save(dir.path("a"));
  const double next = from.step(3);
  for (const Way& way : {Way{Master::remainder, Moments::float32}, Way{Master::remainder, Moments::eight_bit},
                         Way{Master::none, Moments::bfloat16}}) {
    SCOPED_TRACE(way.name());
    Rank to(model, way, {"one rank"}, alone.groups);
    to.load(saved.path);
    if (way.moments == Moments::float32) {
      EXPECT_EQ(to.save(dir.path("b")).state_hash, saved.state_hash);
    }
    EXPECT_EQ(to.step(3), next);
    EXPECT_NEAR(to.step(4), next, next);
  }
  Rank none(model, {Master::none, Moments::float32}, {"one rank"}, alone.groups);
  none.engine->initialise();
  const SavedCheckpoint without = none.save(dir.path("c"));
  EXPECT_THROW(from.load(without.path), IoError);  // nothing there to make an f32 master of
}

TEST(KeptState, LossesFallAsWithF32State) {
  Alone alone;
  const int64_t steps = 120;
  const auto losses = [&](const Way& way) {
    Rank rank(testing::tiny_gpt2(), way, {"one rank"}, alone.groups);
    rank.engine->initialise();
    double first = 0, last = 0;
    for (int64_t step = 0; step < steps; ++step) {
      const double loss = rank.step(step);
      if (step < 4) first += loss / 4;
      if (step >= steps - 4) last += loss / 4;
    }
    return std::pair{first, last};
  };
  const auto [first, last] = losses({Master::float32, Moments::float32, DType::f32});
  std::printf("%-76s loss %.4f -> %.4f\n", "float32", first, last);
  EXPECT_LT(last, 0.6 * first);
  for (const Way& way : kWays) {
    const auto [begin, end] = losses(way);
    std::printf("%-76s loss %.4f -> %.4f, apart by %+.4f of the fall\n", way.name().c_str(), begin, end,
                (end - last) / (first - last));
    EXPECT_NEAR(end, last, 0.03 * (first - last)) << way.name();
  }
}

}  // namespace
}  // namespace trireme
