#include "checkpoint/store.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/sample.h"
#include "support/file_systems.h"

namespace trireme {
namespace {

using testing::newest_step;
using testing::save_sample;
using testing::TempDir;

const OnSkip kIgnore = [](const std::string&, const std::string&) {};

/// The last byte of the weights rots.
void damage(const std::string& folder) {
  const std::string path = folder + "/model.safetensors";
  testing::flip_bit(path, std::filesystem::file_size(path) * 8 - 1);
}

std::vector<int64_t> steps(const std::string& run_dir) {
  std::vector<int64_t> found;
  for (const CheckpointFolder& folder : list_checkpoints(run_dir)) found.push_back(folder.step);
  return found;
}

TEST(Store, AnEmptyOrMissingRunHasNoCheckpoints) {
  const TempDir dir;
  EXPECT_TRUE(list_checkpoints(dir.path()).empty());
  EXPECT_TRUE(list_checkpoints(dir.path("missing")).empty());
  EXPECT_EQ(newest_step(dir.path("missing")), -1);
}

TEST(Store, ListsTheHighestStepFirst) {
  const TempDir dir;
  for (const int64_t step : {int64_t{5}, int64_t{1'000'000'000'000}, int64_t{20}, int64_t{9}})
    save_sample(dir.path(), step);
  EXPECT_EQ(steps(dir.path()), (std::vector<int64_t>{1'000'000'000'000, 20, 9, 5}));
}

TEST(Store, FallsBackToTheNewestGoodOneAndSaysWhy) {
  const TempDir dir;
  save_sample(dir.path(), 1);
  const std::string second = save_sample(dir.path(), 2).path, third = save_sample(dir.path(), 3).path;
  damage(second);
  std::filesystem::resize_file(third + "/manifest.json", 100);
  std::map<std::string, std::string> skipped;
  const auto found = newest_valid(
      dir.path(), [&](const std::string& path, const std::string& why) { skipped[path] = why; }, nullptr);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->manifest().step, 1);
  ASSERT_EQ(skipped.size(), 2U);
  EXPECT_NE(skipped[second].find("damaged"), std::string::npos) << skipped[second];
  EXPECT_NE(skipped[third].find("cut short"), std::string::npos) << skipped[third];
}

TEST(Store, SavingTheSameStepTwiceOverwritesNothing) {
  const TempDir dir;
  const std::string first = save_sample(dir.path(), 4).path, second = save_sample(dir.path(), 4).path;
  EXPECT_NE(first, second);
  EXPECT_EQ(steps(dir.path()), (std::vector<int64_t>{4, 4}));
}

TEST(Store, RetentionKeepsTheNewest) {
  const TempDir dir;
  for (int64_t step = 1; step <= 6; ++step) {
    save_sample(dir.path(), step);
    apply_retention(dir.path(), 3, kIgnore, real_file_system(), nullptr);
  }
  EXPECT_EQ(steps(dir.path()), (std::vector<int64_t>{6, 5, 4}));
  apply_retention(dir.path(), 0, kIgnore, real_file_system(), nullptr);
  EXPECT_EQ(steps(dir.path()), (std::vector<int64_t>{6, 5, 4}));
}

TEST(Store, RetentionDoesNotCountDamagedCheckpoints) {
  const TempDir dir;
  for (const int64_t step : {1, 2, 3}) save_sample(dir.path(), step);
  damage(list_checkpoints(dir.path())[0].path);
  int skipped = 0;
  apply_retention(
      dir.path(), 1, [&](const std::string&, const std::string&) { ++skipped; }, real_file_system(), nullptr);
  EXPECT_EQ(skipped, 1);
  EXPECT_EQ(steps(dir.path()), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(newest_step(dir.path()), 2);
}

TEST(Store, LeftoversOfKilledSavesGoAndNothingElse) {
  const TempDir dir;
  const std::string folder = checkpoints_folder(dir.path());
  save_sample(dir.path(), 1);
  for (const char* name : {"step-000000002-abcdef", "trash-step-000000001-00ff00", "step-000000002", "mine",
                           "step-000000002-backup", "step-2-abcdef", "trash"}) {
    std::filesystem::create_directories(folder + "/" + name);
    testing::overwrite(folder + "/" + name + "/file", "x");
  }
  remove_leftovers(dir.path(), real_file_system());
  for (const char* name : {"step-000000002", "mine", "step-000000002-backup", "step-2-abcdef", "trash"})
    EXPECT_TRUE(std::filesystem::exists(folder + "/" + name + "/file")) << name;
  for (const char* name : {"step-000000002-abcdef", "trash-step-000000001-00ff00"})
    EXPECT_FALSE(std::filesystem::exists(folder + "/" + name)) << name;
  EXPECT_EQ(newest_step(dir.path()), 1);
}

// Saves that work, fail, die or rot, retention with changing numbers and failing deletions: what was acknowledged and
// is not damaged never vanishes while nothing newer is good.
TEST(Store, RetentionNeverRemovesTheLastGoodCheckpoint) {
  std::mt19937_64 random(11);
  for (int sequence = 0; sequence < 100; ++sequence) {
    const TempDir dir(testing::memory_folder());
    int64_t newest_good = -1;
    for (int64_t step = 1; step <= 12; ++step) {
      const int64_t fail_at = random() % 3 == 0 ? static_cast<int64_t>(random() % 45) : 1'000'000;
      const bool dies = random() % 2 == 0;
      testing::FailingFileSystem fs(fail_at, "No space left on device", dies);
      try {
        const std::string path = save_sample(dir.path(), step, fs).path;
        if (random() % 5 == 0)
          damage(path);
        else
          newest_good = step;
        apply_retention(dir.path(), static_cast<int64_t>(random() % 4), kIgnore, fs, nullptr);
      } catch (const IoError&) {
        if (dies && newest_step(dir.path()) == step) newest_good = step;  // died with all done but the answer
      }
      ASSERT_EQ(newest_step(dir.path()), newest_good) << "sequence " << sequence << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace trireme
