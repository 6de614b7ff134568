// `trireme verify` on what ranks have saved: whole, damaged, half-written, mixed of several steps.
#include <gtest/gtest.h>

#include "app/run.h"
#include "checkpoint/sample.h"
#include "faults/rank_saves.h"

namespace trireme {
namespace {

namespace files = std::filesystem;

class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::all_saved(saves_.save(run_, 7)) && testing::all_saved(saves_.save(run_, 9)));
    const std::vector<CheckpointFolder> found = list_checkpoints(run_);
    older_ = found.at(1).path, newer_ = found.at(0).path;
  }

  static void expect_refused(const std::string& path, const std::vector<std::string>& words) {
    const testing::Outcome outcome = testing::run({"verify", path});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, "");
    for (const std::string& word : words)
      EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in " << outcome.err;
  }
  static std::string told(const std::string& path) {
    const testing::Outcome outcome = testing::run({"verify", path});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out + outcome.err;
  }

  testing::TempDir dir_;
  const std::string run_ = dir_.path("run");
  testing::RankSaves saves_{testing::kSavers[1]};
  std::string older_, newer_;
};

TEST_F(Verify, SaysStepAndStateHashOfWhatRanksSaved) {
  EXPECT_EQ(told(run_), cat("step 9 state-hash ", saves_.hash_of(9), "\n"));
  EXPECT_EQ(told(older_), cat("step 7 state-hash ", saves_.hash_of(7), "\n"));
}

TEST_F(Verify, NamesEveryDamagedShardWithItsBytesAndTheCheckpointToGoOnFrom) {
  const std::string first = newer_ + "/model-00001-of-00004.safetensors",
                    second = newer_ + "/optimizer-rank-2.safetensors";
  testing::flip_bit(first, 8 * 20);
  testing::flip_bit(second, 8 * 300 + 3);
  const std::vector<std::string> words = {first + ": bytes 0 to ", second + ": bytes 0 to ", "damaged: expected XXH3"};
  expect_refused(newer_, words);
  expect_refused(run_, words);
  expect_refused(run_, {"the newest good checkpoint of the run is " + older_});
}

TEST_F(Verify, NamesWhatIsMissingAndCut) {
  files::remove(newer_ + "/optimizer-rank-1.safetensors");
  files::resize_file(newer_ + "/optimizer-rank-0.safetensors", 500);
  expect_refused(newer_, {"optimizer-rank-1.safetensors: No such file", "optimizer-rank-0.safetensors: expected ",
                          " bytes, found 500; the file is cut short"});
  files::resize_file(newer_ + "/manifest.json", 300);
  expect_refused(newer_, {newer_ + "/manifest.json: cut short"});
}

TEST_F(Verify, AHalfWrittenCheckpointIsNone) {
  files::remove(newer_ + "/manifest.json");
  expect_refused(newer_, {newer_, "no manifest.json", "cut off"});
  const std::string text = told(run_);  // of the one before, and a word on this one
  EXPECT_NE(text.find("step 7 "), std::string::npos) << text;
  EXPECT_NE(text.find(newer_ + " is no checkpoint (no manifest.json): its save was cut off"), std::string::npos)
      << text;
  files::remove(older_ + "/manifest.json");
  expect_refused(run_, {run_ + ": neither a checkpoint (no manifest.json) nor a run that has one"});
}

TEST_F(Verify, FilesOfSeveralStepsInOneFolderAreNamed) {
  const std::string shard = "/optimizer-rank-1.safetensors";
  files::copy_file(older_ + shard, newer_ + shard, files::copy_options::overwrite_existing);
  expect_refused(newer_, {newer_ + shard + ": bytes 0 to ", "are damaged"});
  files::copy_file(older_ + "/manifest.json", newer_ + "/manifest.json", files::copy_options::overwrite_existing);
  expect_refused(newer_,
                 {newer_ + "/model-00001-of-00004.safetensors: bytes 0 to ", newer_ + "/trainer.json: bytes 0 to "});
}

TEST_F(Verify, TensorFilesThatTheManifestDoesNotKnowAreNamed) {
  testing::overwrite(newer_ + "/README.md", "notes are nobody's business");
  EXPECT_EQ(told(newer_), cat("step 9 state-hash ", saves_.hash_of(9), "\n"));
  files::copy_file(older_ + "/model-00001-of-00004.safetensors", newer_ + "/model.safetensors");
  expect_refused(newer_, {newer_ + "/model.safetensors: the manifest does not list it; it is of another checkpoint"});
}

}  // namespace
}  // namespace trireme
