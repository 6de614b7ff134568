// A run that was stopped or killed, at any moment, and then continued is the run that was never stopped: same weights,
// optimizer, data position, log. Kills are aimed at a phase by a failpoint (base/failpoint.h).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child;
using testing::ChildOptions;
using testing::difference;
using testing::RunRecord;

int64_t entries(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

ChildOptions with_failpoint(const std::string& failpoint) {
  return {.environment = {"TRIREME_FAILPOINT=" + failpoint}};
}

class Resume : public ::testing::Test {
 protected:
  struct Run {
    testing::TempDir dir;
    const std::string recipe = testing::write_tiny_recipe(dir.path());
    const std::string folder = dir.path("run");
    RunRecord record() const { return testing::record_of(folder); }
  };

  void SetUp() override {
    const Run run;
    testing::train_to_end(run.recipe);
    reference_ = run.record();
    ASSERT_EQ(reference_.rows.size(), static_cast<size_t>(testing::kTinySteps));
  }

  /// Every checkpoint that claims to be one is whole, whatever happened.
  static void expect_good_checkpoints(const std::string& folder) {
    for (const CheckpointFolder& checkpoint : list_checkpoints(folder))
      EXPECT_NO_THROW(verify_checkpoint(checkpoint.path, nullptr)) << checkpoint.path;
  }

  static void train_until_killed(const Run& run, const std::string& failpoint) {
    Child child({"train", run.recipe}, with_failpoint(failpoint));
    ASSERT_EQ(child.wait(), -SIGKILL) << "this moment does not come: " << child.err();
    expect_good_checkpoints(run.folder);
  }

  RunRecord reference_;
};

TEST_F(Resume, TheReferenceRunUsesAllThatCarriesState) {
  bool skipped = false, evaluated = false, second_epoch = false;
  for (const std::string& row : reference_.rows) {
    skipped |= row.find("skipped true") != std::string::npos;
    evaluated |= row.find("eval_loss") != std::string::npos;
    second_epoch |= row.find("epoch 1") != std::string::npos;
  }
  EXPECT_TRUE(skipped && evaluated && second_epoch) << skipped << evaluated << second_epoch;
}

TEST_F(Resume, AStopSignalFinishesTheStepSavesAndExitsWith3) {
  const std::pair<int, int64_t> cases[] = {{SIGTERM, 12}, {SIGINT, 17}, {SIGTERM, 1}};
  for (const auto& [signal, step] : cases) {
    SCOPED_TRACE(cat("signal ", signal, " in step ", step));
    const Run run;
    Child child({"train", run.recipe}, with_failpoint(cat("train.step:stop:", step)));
    ASSERT_TRUE(child.wait_stopped()) << child.err();
    child.kill(signal);
    child.kill(SIGCONT);
    EXPECT_EQ(child.wait(), 3) << child.err();
    EXPECT_EQ(testing::metrics_rows(run.folder).size(), static_cast<size_t>(step));
    ASSERT_FALSE(list_checkpoints(run.folder).empty());
    EXPECT_EQ(list_checkpoints(run.folder)[0].step, step);
    testing::train_to_end(run.recipe);
    EXPECT_EQ(difference(reference_, run.record()), "");
  }
}

/// A place in a phase, and at which of its passes to kill. The first of them is for every day, the others for
/// TRIREME_LONG.
struct Moment {
  const char *phase, *failpoint;
  std::vector<int64_t> passes;
};

const Moment kMoments[] = {
    {"start-up", "run.start", {1}},
    {"tokenizer", "tokenizer.rename", {1}},
    {"prepare", "prepare.block", {1}},
    {"prepare", "prepare.before_index", {1}},
    {"data", "train.step", {12, 1, 8, 30}},
    {"forward", "runner.forward", {60, 40, 101, 133}},
    {"backward", "runner.backward", {61, 41, 102, 134}},
    {"optimizer", "train.update", {16, 1, 7, 21}},
    {"optimizer", "train.updated", {14, 1, 8, 29}},
    {"evaluation", "runner.evaluate", {17, 6, 8, 27}},
    {"log", "train.row", {14, 2, 21, 30}},
    {"checkpoint, data files", "checkpoint.file", {8, 2, 13, 18}},
    {"checkpoint, before the manifest", "checkpoint.before_manifest", {2, 1, 4}},
    {"checkpoint, after the manifest", "checkpoint.after_manifest", {2, 1, 4, 5}},
    {"checkpoint, retention", "checkpoint.trash", {1, 2}},
    {"checkpoint, retention", "checkpoint.removed_file", {3, 1, 8}},
    {"shutdown", "run.end", {1}},
};

TEST_F(Resume, KilledAtAnyMomentARunEndsAsIfItHadNot) {
  const bool all = std::getenv("TRIREME_LONG") != nullptr;
  std::map<std::string, int> kills;
  for (const Moment& moment : kMoments) {
    for (size_t i = 0; i < (all ? moment.passes.size() : 1); ++i) {
      const std::string failpoint = moment.failpoint, pass = cat(":", moment.passes[i]);
      SCOPED_TRACE(cat("killed in ", moment.phase, ", ", failpoint, pass));
      const Run run;
      ASSERT_NO_FATAL_FAILURE(train_until_killed(run, failpoint + ":kill" + pass));
      testing::train_to_end(run.recipe);
      EXPECT_EQ(difference(reference_, run.record()), "");
      EXPECT_EQ(entries(run.folder + "/checkpoints"), testing::kTinyKeepLast) << "remains, or too many checkpoints";
      ++kills[moment.phase];
    }
  }
  int sum = 0;
  for (const auto& [phase, count] : kills) {
    std::printf("  %2d x killed in: %s\n", count, phase.c_str());
    sum += count;
  }
  std::printf("  %2d kills, every resumed run equal to the one never killed\n", sum);
  EXPECT_GE(sum, all ? 40 : 10);
}

TEST_F(Resume, AFloat16RunGoesOnWithItsLossScale) {
  const auto float16_run = [](const Run& run) {
    write_file(run.recipe, read_file(run.recipe) +
                               "precision: {param_dtype: float16, initial_scale_power: 24, "
                               "loss_scale_window: 3}\n");
  };
  const Run whole, killed;
  float16_run(whole);
  float16_run(killed);
  testing::train_to_end(whole.recipe);
  const RunRecord record = whole.record();
  ASSERT_EQ(record.rows.size(), static_cast<size_t>(testing::kTinySteps));
  EXPECT_NE(record.rows[0].find("skipped true loss_scale 16777216 skipped_steps 1"), std::string::npos)
      << record.rows[0];
  EXPECT_EQ(record.rows.back().find("loss_scale 16777216 "), std::string::npos) << record.rows.back();
  for (const char* failpoint : {"train.update:kill:3", "train.updated:kill:10", "train.step:kill:9"})
    ASSERT_NO_FATAL_FAILURE(train_until_killed(killed, failpoint));
  testing::train_to_end(killed.recipe);
  EXPECT_EQ(difference(record, killed.record()), "");
}

TEST_F(Resume, KilledAgainAndAgainARunEndsAsIfItHadNot) {
  const Run run;
  for (const char* failpoint :
       {"prepare.before_index:kill", "train.step:kill:10", "train.update:kill:2", "checkpoint.before_manifest:kill",
        "runner.backward:kill:80", "checkpoint.trash:kill", "checkpoint.file:kill:3"}) {
    SCOPED_TRACE(failpoint);
    ASSERT_NO_FATAL_FAILURE(train_until_killed(run, failpoint));
  }
  testing::train_to_end(run.recipe);
  EXPECT_EQ(difference(reference_, run.record()), "");
}

TEST_F(Resume, ARestoreThatForgetsSomethingIsNoticed) {
  // The comparison must be able to turn red: each of these leaves out one piece of state on resume.
  for (const char* defect : {"restore.samples:skip", "runner.random_step:skip"}) {
    SCOPED_TRACE(defect);
    const Run run;
    ASSERT_NO_FATAL_FAILURE(train_until_killed(run, "train.step:kill:12"));
    testing::train_to_end(run.recipe, with_failpoint(defect));
    const RunRecord record = run.record();
    EXPECT_NE(difference(reference_, record), "");
    EXPECT_NE(reference_.rows, record.rows);
    EXPECT_NE(reference_.verified, record.verified);
  }
}

TEST_F(Resume, ADamagedNewestCheckpointIsPassedOverAloud) {
  const Run run;
  ASSERT_NO_FATAL_FAILURE(train_until_killed(run, "train.step:kill:16"));
  const std::vector<CheckpointFolder> found = list_checkpoints(run.folder);
  ASSERT_EQ(found.size(), 2u);
  const std::string weights = found[0].path + "/model.safetensors";
  std::string bytes = read_file(weights);
  bytes[bytes.size() - 5] ^= 0x10;
  write_file(weights, bytes);

  Child child({"train", run.recipe});
  EXPECT_EQ(child.wait(), 0) << child.err();
  const std::string err = child.err();
  EXPECT_NE(err.find("passing over " + found[0].path + ": " + weights), std::string::npos) << err;
  EXPECT_NE(err.find("continuing from " + found[1].path), std::string::npos) << err;
  EXPECT_EQ(difference(reference_, run.record()), "");
}

TEST_F(Resume, ASaveThatFailsOnceIsToldAndCostsNothing) {
  const Run run;
  Child child({"train", run.recipe}, with_failpoint("checkpoint.before_manifest:error:2"));
  EXPECT_EQ(child.wait(), 0) << child.err();
  EXPECT_NE(child.err().find("step 14: checkpoint not saved"), std::string::npos) << child.err();
  expect_good_checkpoints(run.folder);
  EXPECT_EQ(difference(reference_, run.record()), "");
}

TEST_F(Resume, ACheckpointOfAnotherRunIsContinuedInANewFolder) {
  const Run run;
  ASSERT_NO_FATAL_FAILURE(train_until_killed(run, "train.step:kill:12"));
  const auto train_from = [&](const std::string& checkpoint, const std::string& folder) {
    Child child({"train", run.recipe, "checkpoint.resume=" + checkpoint, "run.dir=" + folder});
    EXPECT_EQ(child.wait(), 0) << child.err();
    const RunRecord record = testing::record_of(folder);
    EXPECT_EQ(record.verified, reference_.verified);
    return list_checkpoints(folder)[0].path;
  };
  const std::string last = train_from(list_checkpoints(run.folder)[0].path, run.dir.path("second"));
  train_from(last, run.dir.path("third"));  // nothing is left to train, yet the new run has its checkpoint
}

TEST_F(Resume, ARunStartedFromACheckpointContinuesFromItsOwnAfterwards) {
  const Run run;
  ASSERT_NO_FATAL_FAILURE(train_until_killed(run, "train.step:kill:9"));
  const std::string first = list_checkpoints(run.folder)[0].path, second = run.dir.path("second");
  const std::vector<std::string> command = {"train", run.recipe, "checkpoint.resume=" + first, "run.dir=" + second};
  Child killed(command, with_failpoint("train.step:kill:11"));  // after its own checkpoint of step 14
  EXPECT_EQ(killed.wait(), -SIGKILL);
  Child child(command);
  EXPECT_EQ(child.wait(), 0) << child.err();
  EXPECT_NE(child.err().find(second + "/checkpoints/"), std::string::npos) << child.err();
  EXPECT_EQ(testing::record_of(second).verified, reference_.verified);

  const std::string older = list_checkpoints(second).back().path;
  Child back({"train", run.recipe, "checkpoint.resume=" + older, "run.dir=" + second});
  EXPECT_EQ(back.wait(), 2);
  EXPECT_NE(back.err().find("remove the newer ones"), std::string::npos) << back.err();
}

TEST_F(Resume, PoisonedActivationsChangeNothing) {
  const Run run;
  Child child({"train", run.recipe}, {.environment = {"TRIREME_POISON=1"}});
  EXPECT_EQ(child.wait(), 0) << child.err();
  EXPECT_NE(child.err().find("TRIREME_POISON"), std::string::npos) << child.err();
  EXPECT_EQ(difference(reference_, run.record()), "");
}

}  // namespace
}  // namespace trireme
