// Disks that are slow or full by quota, under the real program: a save in the background costs training no more than a
// copy, a signal during a slow save ends with a whole checkpoint, and ranks that wait for a disk are not taken for
// dead.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child, testing::TempDir;

constexpr const char* kRate = "LIMITED_DISK_RATE=1e6";  // bytes a second
// One that is so slow that a save of 1.4 MB takes longer than ranks may wait for each other.
constexpr const char* kSlowRate = "LIMITED_DISK_RATE=3e5";
constexpr const char* kWait = "TRIREME_WAIT_TIMEOUT=3";
constexpr double kSaveSeconds = 4;  // at least
constexpr const char* kLayouts[][2] = {{"1", "parallel.data=1"}, {"2", "parallel.tensor=2"}};

/// A run that saves 1.4 MB every 20 or 100 of 200 steps, on one or two processes.
class LimitedDisk : public ::testing::TestWithParam<std::tuple<size_t, bool>> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "nothing may be loaded before a sanitizer";
#endif
  }

  bool background() const { return std::get<1>(GetParam()); }
  std::string folder(const std::string& name) const { return dir_.path(name) + "/run"; }

  /// Of the run `name`, which is made where it is not there.
  std::vector<std::string> words(const std::string& name) const {
    std::filesystem::create_directories(dir_.path(name));
    const auto& [processes, layout] = kLayouts[std::get<0>(GetParam())];
    std::vector<std::string> words;
    if (processes != std::string("1")) words = {"launch", "--nproc-per-node", processes, "--"};
    for (const std::string& word :
         {std::string("train"), testing::write_tiny_recipe(dir_.path(name)), std::string(layout),
          std::string("model={model_type: gpt2, n_embd: 64, n_layer: 2, n_head: 2, n_positions: 16, resid_pdrop: 0.1}"),
          std::string("train.max_steps=200"), std::string("train.threads=1"),
          std::string(background() ? "checkpoint.every=20" : "checkpoint.every=100"),
          std::string("train.spike_z_score=0"), cat("checkpoint.background=", background() ? "true" : "false")})
      words.push_back(word);
    return words;
  }
  static testing::ChildOptions limited(const std::string& limit) {
    return {.environment = {"LD_PRELOAD=" TRIREME_LIMITED_DISK, limit, kWait}};
  }
  void finish(const std::string& name) const {
    Child child(words(name));
    EXPECT_EQ(child.wait(), 0) << child.err();
  }
  static int64_t steps(const std::string& run) {
    const std::string path = run + "/metrics.jsonl";
    if (!std::filesystem::exists(path)) return 0;
    const std::string text = read_file(path);
    return std::count(text.begin(), text.end(), '\n');
  }
  /// Until there is a folder of a save that has no manifest yet.
  static bool wait_for_save(const Child& child, const std::string& run) {
    while (child.running()) {
      if (std::filesystem::exists(checkpoints_folder(run)) && !list_unfinished(run).empty()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  TempDir dir_;
};

TEST_P(LimitedDisk, ASlowOneHoldsUpASaveAndInTheBackgroundNoStep) {
  finish("straight");
  Child child(words("slow"), limited(kSlowRate));
  using Clock = std::chrono::steady_clock;
  Clock::time_point last = Clock::now();
  int64_t seen = 0;
  double longest = 0;  // without a step
  while (child.running()) {
    const int64_t now = steps(folder("slow"));
    if (now > seen) {
      if (seen > 0) longest = std::max(longest, std::chrono::duration<double>(Clock::now() - last).count());
      last = Clock::now();
      seen = now;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(child.wait(), 0) << child.err();
  std::printf("  %s, %s: longest time without a step beside saves of %.1f s: %.2f s\n",
              kLayouts[std::get<0>(GetParam())][1], background() ? "in the background" : "in the step", kSaveSeconds,
              longest);
  if (background()) {
    EXPECT_LT(longest, kSaveSeconds / 2);
    EXPECT_NE(child.err().find("the one of step 20 is still being written"), std::string::npos) << child.err();
  } else {
    EXPECT_GT(longest, kSaveSeconds / 2);  // what the test would see of a background that waits
  }
  EXPECT_EQ(testing::difference(testing::record_of(folder("straight")), testing::record_of(folder("slow"))), "");
}

TEST_P(LimitedDisk, ATermSignalDuringASlowSaveEndsWithAWholeCheckpoint) {
  finish("straight");
  Child child(words("run"), limited(kRate));
  ASSERT_TRUE(wait_for_save(child, folder("run"))) << child.err();
  child.kill(SIGTERM);
  EXPECT_EQ(child.wait(), 3) << child.err();
  EXPECT_TRUE(list_unfinished(folder("run")).empty());
  const std::vector<CheckpointFolder> saved = list_checkpoints(folder("run"));
  ASSERT_FALSE(saved.empty());
  EXPECT_EQ(saved[0].step, steps(folder("run")));
  for (const CheckpointFolder& checkpoint : saved) EXPECT_TRUE(damage_of(checkpoint.path, nullptr).empty());
  finish("run");
  EXPECT_EQ(testing::difference(testing::record_of(folder("straight")), testing::record_of(folder("run"))), "");
}

TEST_P(LimitedDisk, AFolderThatIsRemovedDuringASaveCostsThatSaveOnly) {
  finish("straight");
  Child child(words("run"), limited(kRate));
  ASSERT_TRUE(wait_for_save(child, folder("run"))) << child.err();
  std::error_code gone;
  while (std::filesystem::exists(checkpoints_folder(folder("run")))) {
    std::filesystem::remove_all(checkpoints_folder(folder("run")), gone);
  }
  EXPECT_EQ(child.wait(), 0) << child.err();
  EXPECT_NE(child.err().find("checkpoint not saved"), std::string::npos) << child.err();
  EXPECT_TRUE(list_unfinished(folder("run")).empty());
  EXPECT_EQ(testing::difference(testing::record_of(folder("straight")), testing::record_of(folder("run"))), "");
}

TEST_P(LimitedDisk, AQuotaCostsNoEarlierCheckpointAndTheRunGoesOnWhenThereIsRoom) {
  finish("straight");
  Child child(words("run"),
              limited(std::get<0>(GetParam()) == 0 ? "LIMITED_DISK_QUOTA=2e6" : "LIMITED_DISK_QUOTA=1.2e6"));
  EXPECT_EQ(child.wait(), 1) << child.err();
  EXPECT_NE(child.err().find("Disk quota exceeded"), std::string::npos) << child.err();
  const std::vector<CheckpointFolder> saved = list_checkpoints(folder("run"));
  ASSERT_EQ(saved.size(), 1u);
  EXPECT_TRUE(damage_of(saved[0].path, nullptr).empty());
  finish("run");
  EXPECT_EQ(testing::difference(testing::record_of(folder("straight")), testing::record_of(folder("run"))), "");
}

INSTANTIATE_TEST_SUITE_P(Layouts, LimitedDisk,
                         ::testing::Combine(::testing::Range(size_t{0}, std::size(kLayouts)), ::testing::Bool()),
                         [](const auto& test) {
                           return cat(std::get<1>(test.param) ? "Background" : "InTheStep", std::get<0>(test.param));
                         });

}  // namespace
}  // namespace trireme
