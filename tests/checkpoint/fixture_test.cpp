// Checkpoints of every format version that was ever written, kept for good: each must load, with the values and the
// state hash it was saved with. A new version adds a folder (run the disabled test below with TRIREME_FIXTURE_DIR set
// and rename what it writes); none is ever made again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "checkpoint/sample.h"
#include "comm/local.h"

namespace trireme {
namespace {

using testing::SampleState;

constexpr int64_t kStep = 12, kRows = 40;
constexpr const char* kHash = "0de2e7d4e958a69f9e5bbdbd19e10b50";  // of their state

/// Written by two ranks: each has half of the moments, and rank 0 the weights.
SavedCheckpoint write_fixture(const std::string& folder) {
  SavedCheckpoint saved;
  run_local_ranks({.dp = 2}, [&](int rank, const Groups& groups) {
    SampleState state(kStep, kRows);
    CheckpointContent content = state.content();
    if (rank > 0) content.weights.clear();
    const Box half{rank * kRows / 2, kRows / 2, 0, 3};
    const Tensor moments = state.moment_view();
    content.optimizer = {
        named_box("a.weight.exp_avg", moments.slice(0, half.row, half.row + half.rows), moments.shape, half)};
    const SavedCheckpoint mine = save_checkpoint(folder, kStep, content, real_file_system(), nullptr, *groups.io);
    if (rank == 0) saved = mine;
  });
  return saved;
}

std::string golden(const std::string& name) { return cat(TRIREME_SOURCE_DIR "/tests/checkpoint/golden/", name); }

void expect_sample(const std::string& path, const std::string& hash) {
  const Manifest manifest = verify_checkpoint(path, nullptr);
  EXPECT_EQ(manifest.state_hash.str(), hash);
  EXPECT_EQ(manifest.step, kStep);
  SampleState expected(kStep, kRows), read(0, kRows);
  for (const Check check : {Check::all, Check::read}) {
    const Checkpoint checkpoint(path, nullptr, check);
    checkpoint.weight("model.a.weight").read(read.matrix_view());
    checkpoint.weight("model.b.bias").read(read.vector_view());
    checkpoint.optimizer("a.weight.exp_avg").read(read.moment_view());
    EXPECT_EQ(read.matrix, expected.matrix);
    EXPECT_EQ(read.vector, expected.vector);
    EXPECT_EQ(read.moment, expected.moment);
    EXPECT_EQ(checkpoint.trainer_state().at("step").as_integer(), kStep);
    EXPECT_EQ(checkpoint.config().at("model_type").as_string(), "gpt2");
  }
}

TEST(Fixture, Version1LoadsAsItWasSaved) { expect_sample(golden("format-1"), kHash); }

TEST(Fixture, WhatIsWrittenTodayHasTheHashOfTheNewestFixture) {
  const testing::TempDir dir;
  expect_sample(write_fixture(dir.path()).path, kHash);
}

TEST(Fixture, DISABLED_WriteANewOne) {
  const char* folder = std::getenv("TRIREME_FIXTURE_DIR");
  ASSERT_NE(folder, nullptr);
  std::printf("%s\n", write_fixture(folder).path.c_str());
}

}  // namespace
}  // namespace trireme
