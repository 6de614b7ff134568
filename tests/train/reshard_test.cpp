// A checkpoint belongs to no layout: what the trainer saves on any is loaded on any other, bit for bit, and the next
// step has the same loss. Thread ranks, the real trainer.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "base/log.h"
#include "base/random.h"
#include "base/strings.h"
#include "checkpoint/store.h"
#include "comm/local.h"
#include "support/temp_dir.h"
#include "support/tiny_models.h"
#include "support/token_files.h"
#include "train/trainer.h"

namespace trireme {
namespace {

struct Layout {
  const char* name;
  Mesh mesh = {};
  int zero_stage = 0;
  int virtual_pipeline = 1;
};

/// Sizes that divide nothing evenly, ZeRO ranges that end within rows, shared parameters on two stages.
const Layout kLayouts[] = {
    {"one"},
    {"tensor=2", {.tp = 2}},
    {"pipeline=3", {.pp = 3}},
    {"data=3, zero=0", {.dp = 3}},
    {"data=3, zero=1", {.dp = 3}, 1},
    {"data=3, zero=3", {.dp = 3}, 3},
    {"context=2, tensor=2, zero=2", {.cp = 2, .tp = 2}, 2},
    {"pipeline=2, virtual=2", {.pp = 2}, 0, 2},
    {"pipeline=2, tensor=2", {.pp = 2, .tp = 2}},
    {"pipeline=2, data=3, tensor=2, zero=1", {.pp = 2, .dp = 3, .tp = 2}, 1},
};

constexpr double kLossBound = 400 * 0x1p-23;  // as of tests/train/parity_test.cpp: sums in another order

class Reshard : public ::testing::Test {
 protected:
  Reshard() {
    std::vector<std::vector<int32_t>> documents(1);
    for (int i = 0; i < 1200; ++i)
      documents[0].push_back(static_cast<int32_t>(RandomKey::of(5, 1).draw(1, static_cast<uint64_t>(i))[0] % 51));
    testing::write_token_files(dir_.path("tokens"), documents);
  }

  /// Trains up to `steps` in a folder of its own, from `checkpoint` or from nothing; the loss of the last step.
  double train(const std::string& run, const ModelConfig& model, DType dtype, const Layout& layout, int64_t steps,
               const std::string& checkpoint = "auto") {
    real_file_system().make_directory(dir_.path(run));
    const IndexedDataset tokens(dir_.path("tokens"), 51);
    const std::atomic<int> stop{0};
    run_local_ranks(layout.mesh, [&](int, const Groups& groups) {
      TrainerConfig c;
      c.run_dir = dir_.path(run);
      c.engine.model = model;
      c.engine.precision.param_dtype = dtype;
      c.engine.zero_stage = layout.zero_stage;
      c.engine.virtual_pipeline = layout.virtual_pipeline;
      c.engine.micro_batch_size = 1;
      c.engine.sequence_length = c.data.sequence_length = 12;
      c.engine.micro_batches = 6 / layout.mesh.dp;
      c.engine.seed = 5;
      c.data.micro_batch_size = 1;
      c.data.global_batch_size = 6;
      c.data.split = {1, 0, 0};
      c.train.max_steps = steps;
      c.schedule = {.kind = ScheduleKind::constant, .warmup = 0};
      c.checkpoint.resume = checkpoint;
      c.checkpoint.background = c.engine.copies_to_save = steps % 2 == 0;
      c.log.tensorboard = c.log.progress = false;
      c.log.every = 1000;
      ThreadPool pool(1);
      Trainer trainer(c, groups, {&tokens, 1}, pool);
      EXPECT_EQ(trainer.allocated_bytes(), trainer.engine().memory_plan().total());
      trainer.run(stop);
    });
    double loss = 0;
    for (const std::string& line : split(read_file(dir_.path(run) + "/metrics.jsonl"), '\n'))
      if (!line.empty()) loss = Json::parse(line, run).at("loss").as_real();
    return loss;
  }

  Manifest newest(const std::string& run) const {
    return verify_checkpoint(list_checkpoints(dir_.path(run))[0].path, nullptr);
  }

  /// Every layout's checkpoint on the layouts so many places further in the list; on all with TRIREME_LONG.
  void expect_pairs(const ModelConfig& model, DType dtype, std::vector<size_t> steps) {
    if (std::getenv("TRIREME_LONG") != nullptr) {
      steps.resize(std::size(kLayouts));
      std::iota(steps.begin(), steps.end(), size_t{0});
    }
    int number = 0, pairs = 0;
    const double expected = train("straight", model, dtype, kLayouts[0], 3);
    for (const Layout& from : kLayouts) {
      const std::string saved = cat("saved", number++);
      train(saved, model, dtype, from, 2);
      const std::string checkpoint = list_checkpoints(dir_.path(saved))[0].path;
      for (const size_t further : steps) {
        const Layout& to = kLayouts[(static_cast<size_t>(&from - kLayouts) + further) % std::size(kLayouts)];
        SCOPED_TRACE(cat("from ", from.name, " to ", to.name));
        // With no step left the trainer saves what it has loaded.
        const std::string copy = cat("copy", number++), next = cat("next", number++);
        train(copy, model, dtype, to, 2, checkpoint);
        EXPECT_EQ(newest(copy).state_hash, newest(saved).state_hash);
        ++pairs;
        if (pairs % 3 != 0) continue;  // the next step of some
        const double bound = dtype == DType::f32 ? kLossBound : 0.02;
        EXPECT_NEAR(train(next, model, dtype, to, 3, checkpoint), expected, bound * expected);
      }
    }
    std::printf("  %d pairs of layouts, every state hash equal\n", pairs);
  }

  testing::TempDir dir_;
};

TEST_F(Reshard, AnyLayoutLoadsWhatAnyOtherSavedGpt2Tied) {
  set_console_level(LogLevel::warn);
  expect_pairs(testing::tiny_gpt2(0.1), DType::f32, {1, 4});
}

TEST_F(Reshard, AnyLayoutLoadsWhatAnyOtherSavedLlamaInBfloat16WithMasters) {
  set_console_level(LogLevel::warn);
  expect_pairs(testing::tiny_llama(), DType::bf16, {3});
}

TEST_F(Reshard, EveryRankWritesAFileAndNoneTwice) {
  set_console_level(LogLevel::warn);
  const ModelConfig model = testing::tiny_gpt2();
  train("one", model, DType::f32, kLayouts[0], 1);
  train("many", model, DType::f32, {"data=3, zero=1", {.dp = 3}, 1}, 1);
  const Manifest one = newest("one"), many = newest("many");
  int optimizer_files = 0;
  uint64_t bytes_one = 0, bytes_many = 0;
  for (const FileRecord& file : many.files) optimizer_files += starts_with(file.name, "optimizer-rank-") ? 1 : 0;
  EXPECT_EQ(optimizer_files, 3);
  for (const FileRecord& file : one.files) bytes_one += file.size;
  for (const FileRecord& file : many.files) bytes_many += file.size;
  EXPECT_LT(bytes_many, bytes_one + 20000);  // more headers, no tensor twice
}

}  // namespace
}  // namespace trireme
