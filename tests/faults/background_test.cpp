// Saves in the background: each is the state as it was when it was asked for, though everything is overwritten while it
// is written; training waits for a copy in memory, however slow the disk; nothing grows.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "faults/rank_saves.h"
#include "support/file_systems.h"

namespace trireme {
namespace {

using testing::kSavers, testing::RankSaves, testing::TempDir;

constexpr int kRanks = 2;
constexpr double kMostStall = 1.1, kThreadStart = 5e-4;  // times a plain copy; seconds
#ifdef __SANITIZE_THREAD__
constexpr bool kTimesCount = false;  // every access to memory is looked at
#else
constexpr bool kTimesCount = true;
#endif

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Every write takes as long as `pause`.
class SlowFileSystem : public testing::ForwardingFileSystem {
 public:
  explicit SlowFileSystem(std::chrono::milliseconds pause) : pause_(pause) {}

 protected:
  void before(const std::string& call, const std::string&) override {
    if (call == "write") std::this_thread::sleep_for(pause_);
  }

 private:
  std::chrono::milliseconds pause_;
};

struct Use {
  int64_t resident_pages = 0, files = 0;
};
Use use() {
  Use now;
  int64_t size = 0;
  std::ifstream("/proc/self/statm") >> size >> now.resident_pages;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++now.files;
  return now;
}

TEST(Background, EverySaveIsTheStateOfItsStepThoughAllIsOverwrittenMeanwhile) {
  const RankSaves expected(kSavers[0]);
  const int64_t saves = std::getenv("TRIREME_LONG") != nullptr ? 2000 : 200, warm = saves / 4;
  const TempDir dir(testing::memory_folder());
  SlowFileSystem slow(std::chrono::milliseconds(0));
  int64_t wrong = 0;
  Use before, after;
  run_local_ranks({.dp = kRanks}, [&](int rank, const Groups& groups) {
    ThreadPool pool(1);
    testing::RankValues values = expected.values(kRanks, 0);
    BackgroundSave background(copy_bytes(values.of(rank)), *groups.io, slow);
    for (int64_t step = 1; step <= saves; ++step) {
      if (rank == 0 && step == warm) before = use();
      const int64_t state = 1 + step % 8;  // few, so that what the test itself remembers does not grow
      values.set(state);
      background.start(dir.path(), step, values.of(rank), pool);
      values.scribble();
      const std::string hash = background.finish()->state_hash.str();
      groups.world->barrier();
      if (rank != 0) continue;
      wrong += hash == expected.hash_of(state) ? 0 : 1;
      apply_retention(dir.path(), 1, testing::kSilently, real_file_system(), nullptr);
    }
    if (rank == 0) after = use();
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(newest_valid(dir.path(), testing::kSilently, nullptr)->manifest().step, saves);
  EXPECT_LE(after.files, before.files);
  const double grown =
      static_cast<double>(after.resident_pages - before.resident_pages) / static_cast<double>(before.resident_pages);
#ifndef __SANITIZE_ADDRESS__  // whose quarantine grows
  EXPECT_LT(grown, 0.05);
#endif
  std::printf(
      "  %lld saves of %d ranks in the background, state overwritten meanwhile: %lld with another hash; memory %+.1f "
      "%%, "
      "open files %+lld\n",
      static_cast<long long>(saves), kRanks, static_cast<long long>(wrong), 100 * grown,
      static_cast<long long>(after.files - before.files));
}

/// Overwrites the state when the first byte of it is written.
class OverwritingFileSystem : public testing::ForwardingFileSystem {
 public:
  explicit OverwritingFileSystem(testing::RankValues& values) : values_(values) {}

 protected:
  void before(const std::string& call, const std::string&) override {
    if (call == "write") values_.scribble();
  }

 private:
  testing::RankValues& values_;
};

TEST(BackgroundDefect, ASaveThatDoesNotCopyTurnsItRed) {
  const RankSaves expected(kSavers[0]);
  const TempDir dir(testing::memory_folder());
  testing::RankValues values = expected.values(1, 3);
  OverwritingFileSystem overwriting(values);
  SingleGroup alone;
  const SavedCheckpoint saved = save_state(dir.path(), 3, values.of(0), overwriting, nullptr, alone);
  EXPECT_NE(saved.state_hash.str(), expected.hash_of(3));
}

TEST(Background, TrainingWaitsForACopyInMemoryAndNotForTheDisk) {
  const RankSaves wide(kSavers[0], 1000);  // 24 MB of state
  const TempDir dir(testing::memory_folder());
  SlowFileSystem slow(std::chrono::milliseconds(5));
  double copy[kRanks] = {1e9, 1e9}, stall[kRanks] = {1e9, 1e9}, write = 1e9;
  int64_t bytes[kRanks] = {};
  run_local_ranks({.dp = kRanks}, [&](int rank, const Groups& groups) {
    ThreadPool pool(1);
    testing::RankValues values = wide.values(kRanks, 1);
    bytes[rank] = copy_bytes(values.of(rank));
    BackgroundSave background(bytes[rank], *groups.io, slow);
    std::vector<std::byte> from(static_cast<size_t>(bytes[rank]), std::byte{1}), to(from.size(), std::byte{2});
    const auto within = [&] { return stall[rank] < kMostStall * copy[rank] + kThreadStart ? 1.0 : 0.0; };
    // The best of some, and of more where others use this machine too.
    for (int i = 0; i < 6 || (kTimesCount && i < 60 && groups.world->all_reduce(within(), ReduceOp::sum) < kRanks);
         ++i) {
      groups.world->barrier();
      copy[rank] = std::min(copy[rank], seconds([&] { std::memcpy(to.data(), from.data(), from.size()); }));
      groups.world->barrier();
      stall[rank] = std::min(stall[rank], seconds([&] { background.start(dir.path(), 1, values.of(rank), pool); }));
      EXPECT_TRUE(background.busy());
      const double written = seconds([&] { background.finish(); });
      EXPECT_FALSE(background.busy());
      groups.world->barrier();
      if (rank > 0) continue;
      write = std::min(write, written);
      apply_retention(dir.path(), 1, testing::kSilently, real_file_system(), nullptr);
    }
  });
  for (int rank = 0; rank < kRanks; ++rank) {
    std::printf(
        "  rank %d of %d: state of %.1f MB copied at %.1f GB/s; training stalls %.2f ms, %.2f times its bytes over "
        "that "
        "rate; written in %.0f ms on a slow disk\n",
        rank, kRanks, static_cast<double>(bytes[rank]) / 1e6, static_cast<double>(bytes[rank]) / copy[rank] / 1e9,
        stall[rank] * 1e3, stall[rank] / copy[rank], write * 1e3);
    if (!kTimesCount) continue;
    EXPECT_LT(stall[rank], kMostStall * copy[rank] + kThreadStart);
    EXPECT_GT(write, 10 * stall[rank]);
  }
}

}  // namespace
}  // namespace trireme
