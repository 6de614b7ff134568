// Every call of a save fails once; the power goes at every moment of one. An acknowledged checkpoint always loads.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/sample.h"
#include "checkpoint/store.h"
#include "support/file_systems.h"

namespace trireme {
namespace {

using testing::FailingFileSystem;
using testing::memory_folder;
using testing::newest_step;
using testing::RecordingFileSystem;
using testing::save_sample;
using testing::TempDir;

const OnSkip kIgnore = [](const std::string&, const std::string&) {};

/// Calls of one save into a folder with an older checkpoint and a leftover.
int64_t calls_of_a_save() {
  const TempDir dir(memory_folder());
  save_sample(dir.path(), 1);
  std::filesystem::create_directory(checkpoints_folder(dir.path()) + "/step-000000001-abcdef");
  FailingFileSystem fs(-1, "");
  save_sample(dir.path(), 2, fs);
  return fs.calls();
}

TEST(Faults, EveryCallOfASaveMayFail) {
  const int64_t calls = calls_of_a_save();
  ASSERT_GT(calls, 25);
  for (const bool dead : {false, true})
    for (const std::string reason : {"No space left on device", "Input/output error"})
      for (int64_t call = 0; call < calls; ++call) {
        const TempDir dir(memory_folder());
        save_sample(dir.path(), 1);
        std::filesystem::create_directory(checkpoints_folder(dir.path()) + "/step-000000001-abcdef");
        FailingFileSystem fs(call, reason, dead);
        std::string message;
        try {
          save_sample(dir.path(), 2, fs);
        } catch (const IoError& e) {
          message = e.what();
        }
        SCOPED_TRACE(cat("call ", call, " (", fs.failed_call(), ")", dead ? ", then dead" : ""));
        if (call == 0 && !dead) {  // the leftover stays a while; the save itself is not harmed
          EXPECT_EQ(fs.failed_call(), "remove");
          EXPECT_EQ(newest_step(dir.path()), 2);
          continue;
        }
        EXPECT_NE(message.find(reason), std::string::npos) << message;
        EXPECT_NE(message.find(dead && call == 0 ? "statvfs" : fs.failed_call()), std::string::npos) << message;
        // Dead right after the rename: nobody was told, but the checkpoint is whole, and may be used.
        const int64_t newest = newest_step(dir.path());
        EXPECT_TRUE(newest == 1 || (dead && newest == 2 && call == calls - 1)) << newest;
        save_sample(dir.path(), 3);  // the next save works, and clears up
        EXPECT_EQ(newest_step(dir.path()), 3);
        size_t folders = 0;
        for (const auto& entry : std::filesystem::directory_iterator(checkpoints_folder(dir.path())))
          folders += entry.is_directory() ? 1 : 0;
        EXPECT_EQ(folders, newest == 1 ? 2U : 3U);
      }
}

/// A run of three saves with retention, and after how many calls each step was acknowledged.
struct Recorded {
  TempDir dir{memory_folder()};
  RecordingFileSystem fs;
  std::vector<std::pair<size_t, int64_t>> acknowledged;

  explicit Recorded(const std::string& skip = "") : fs(skip) {
    for (const int64_t step : {1, 2, 3}) {
      save_sample(run(), step, fs);
      acknowledged.emplace_back(fs.log().size(), step);
      apply_retention(run(), 1, kIgnore, fs, nullptr);
    }
  }
  std::string run() const { return dir.path("disk/run"); }

  /// Power losses at random moments after which the newest acknowledged step is not there any more.
  int losses(int images, std::mt19937_64& random) const {
    const TempDir scratch(memory_folder());
    int lost = 0;
    for (int i = 0; i < images; ++i) {
      const size_t calls = random() % (fs.log().size() + 1);
      int64_t expected = -1;
      for (const auto& [after, step] : acknowledged)
        if (calls >= after) expected = step;
      fs.crash_image(dir.path("disk"), calls, scratch.path("image"), random);
      const int64_t found = newest_step(scratch.path("image/run"));
      // A newer one that is whole though not yet acknowledged is as good.
      lost += found < expected ? 1 : 0;
      EXPECT_NE(found, -2) << "a checkpoint loads that is not what was saved";
    }
    return lost;
  }
};

TEST(Faults, PowerLossLosesNoAcknowledgedCheckpoint) {
  const Recorded recorded;
  std::mt19937_64 random(17);
  EXPECT_EQ(recorded.losses(1000, random), 0);
}

TEST(Faults, PowerLossCatchesAWriterWithoutFolderSync) {
  const Recorded recorded("fsync folder");
  std::mt19937_64 random(17);
  EXPECT_GT(recorded.losses(200, random), 0);
}

TEST(Faults, PowerLossCatchesAWriterWithoutFileSync) {
  const Recorded recorded("fsync");
  std::mt19937_64 random(17);
  EXPECT_GT(recorded.losses(200, random), 0);
}

}  // namespace
}  // namespace trireme
