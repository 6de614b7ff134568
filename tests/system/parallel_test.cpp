// Runs over several processes: they train like one, their checkpoints belong to no layout, and a rank that dies or
// fails takes the job with it, in words.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child;
using testing::ChildOptions;

/// Rounding moves a loss by some units in the last place of f32 a step; Adam, which divides by the root of a small
/// second moment, carries it into the weights. 6 steps of the tiny recipe at this rate stay well within.
constexpr double kLossBound = 2e-5;
constexpr const char* kSteps = "train.max_steps=6";

/// Words of a run whose steps do not depend on chance: small steps, none left out, evaluations and checkpoints between.
std::vector<std::string> calm() {
  return {"train.threads=1",      "train.spike_z_score=0", "optimizer.lr=1e-3",
          "schedule.min_lr=1e-4", "eval.every=3",          "data.micro_batch_size=1",
          "checkpoint.every=4",   "log.every=1",           "data.global_batch_size=4"};
}

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> launch_words(int processes, const std::string& recipe, const std::vector<std::string>& words) {
  return std::vector<std::string>{"launch", "--nproc-per-node", cat(processes), "--", "train", recipe} + words;
}

struct Layout {
  int processes;
  std::vector<std::string> words;
  bool bitwise = false;  // sums keep their order
};

class Parallel : public ::testing::Test {
 protected:
  /// Trains in a folder of that name; expects that it ends well.
  std::string train(const std::string& name, const Layout& layout, const std::vector<std::string>& words = {}) {
    const std::vector<std::string> all =
        calm() + std::vector<std::string>{kSteps, "run.dir=" + dir_.path(name)} + layout.words + words;
    Child child(layout.processes == 1 ? std::vector<std::string>{"train", recipe_} + all
                                      : launch_words(layout.processes, recipe_, all));
    EXPECT_EQ(child.wait(), 0) << child.err();
    return dir_.path(name);
  }

  static std::vector<double> column(const std::string& run_dir, const char* key) {
    std::vector<double> values;
    for (const std::string& line : split(read_file(run_dir + "/metrics.jsonl"), '\n')) {
      if (line.empty()) continue;
      const Json row = Json::parse(line, run_dir);
      if (const Json* value = row.find(key)) values.push_back(value->as_real());
    }
    return values;
  }

  static void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double bound) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], bound * expected[i]) << "row " << i;
  }

  static std::string verified(const std::string& run_dir) {
    const testing::Outcome outcome = testing::run({"verify", run_dir});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }

  testing::TempDir dir_;
  const std::string recipe_ = testing::write_tiny_recipe(dir_.path());
};

TEST_F(Parallel, EveryLayoutTrainsLikeOneProcess) {
  const std::vector<std::string> untied = {"model.tie_word_embeddings=false"};
  const std::string one = train("one", {1, {}}), one_untied = train("one-untied", {1, untied});
  const Layout layouts[] = {
      {2, {}},  // what is left out is data parallel
      {2, {"parallel.tensor=2"}},
      {2, {"parallel.pipeline=2"}},
      {2, untied + std::vector<std::string>{"parallel.pipeline=2"}, true},
      {2, {"parallel.zero_stage=3"}},
      {4, {"parallel.tensor=2", "parallel.pipeline=2"}},
      {4, {"parallel.tensor=2", "parallel.zero_stage=1"}},
      {4, {"parallel.data=2", "parallel.pipeline=2", "parallel.zero_stage=1"}},
      {4, {"parallel.zero_stage=2"}},
      {2, {"parallel.context=2"}},
      {4, {"parallel.context=2", "parallel.tensor=2", "parallel.sequence_parallel=true"}},
      {2, {"parallel.pipeline=2", "parallel.virtual_pipeline=2"}},
  };
  int i = 0;
  for (const Layout& layout : layouts) {
    std::string name = cat(layout.processes, " processes");
    for (const std::string& word : layout.words) name += " " + word;
    SCOPED_TRACE(name);
    const std::string run = train(cat("run", i++), layout);
    const std::string& expected = layout.bitwise ? one_untied : one;
    const double bound = layout.bitwise ? 0 : kLossBound;
    expect_near(column(run, "loss"), column(expected, "loss"), bound);
    expect_near(column(run, "eval_loss"), column(expected, "eval_loss"), bound);
    if (layout.bitwise) {
      EXPECT_EQ(verified(run), verified(expected));
    }
    for (int r = 0; r < layout.processes; ++r)
      EXPECT_TRUE(std::filesystem::exists(cat(run, "/log/rank-", r, ".log"))) << r;
  }
}

TEST_F(Parallel, ARunRepeatsBitForBit) {
  const Layout layout{2, {"parallel.zero_stage=1"}};
  const std::string a = train("a", layout), b = train("b", layout);
  EXPECT_EQ(column(a, "loss"), column(b, "loss"));
  EXPECT_EQ(verified(a), verified(b));
}

TEST_F(Parallel, ACheckpointOfOneLayoutIsLoadedByAnyOther) {
  const std::string saved = train("saved", {4, {"parallel.tensor=2", "parallel.pipeline=2"}});
  const std::string state = verified(saved), checkpoint = list_checkpoints(saved)[0].path;
  const std::vector<std::string> from = {"checkpoint.resume=" + checkpoint};
  const Layout layouts[] = {{1, {}}, {4, {"parallel.zero_stage=3"}}, {4, {"parallel.tensor=2", "parallel.context=2"}}};
  std::vector<std::vector<double>> next;
  for (size_t i = 0; i < std::size(layouts); ++i) {
    SCOPED_TRACE(i);
    // A run that has nothing left to do saves what it has loaded.
    EXPECT_EQ(verified(train(cat("copy", i), layouts[i], from)), state);
    const std::string on = train(cat("on", i), layouts[i], from + std::vector<std::string>{"train.max_steps=8"});
    next.push_back(column(on, "loss"));
  }
  const std::string on = train("saved", {4, {"parallel.tensor=2", "parallel.pipeline=2"}}, {"train.max_steps=8"});
  const std::vector<double> all = column(on, "loss"), expected(all.end() - 2, all.end());
  for (const std::vector<double>& losses : next) expect_near(losses, expected, kLossBound);
}

TEST_F(Parallel, ARunContinuesByItselfOnAnotherLayout) {
  const std::string run = dir_.path("run");
  const std::vector<std::string> words = calm() + std::vector<std::string>{"train.max_steps=8"};
  Child first(launch_words(2, recipe_, words + std::vector<std::string>{"parallel.tensor=2"}),
              {.environment = {"TRIREME_FAILPOINT=train.step:kill:6@0"}});
  EXPECT_EQ(first.wait(), 1) << first.err();
  Child second(std::vector<std::string>{"train", recipe_} + words);
  EXPECT_EQ(second.wait(), 0) << second.err();
  EXPECT_NE(second.err().find("after step 4"), std::string::npos) << second.err();
  const std::string one = train("one", {1, {}}, {"train.max_steps=8"});
  expect_near(column(run, "loss"), column(one, "loss"), kLossBound);
}

TEST_F(Parallel, AStopSignalEndsAllRanksAfterTheSameStepWithOneCheckpoint) {
  const std::string run = dir_.path("run");
  const std::vector<std::string> words =
      calm() + std::vector<std::string>{"train.max_steps=1000000", "checkpoint.every=0", "eval.every=0"};
  Child child(launch_words(2, recipe_, words));
  for (int i = 0; i < 3000 && (!std::filesystem::exists(run + "/metrics.jsonl") || column(run, "step").size() < 3); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  child.kill(SIGTERM);
  EXPECT_EQ(child.wait(), 3) << child.err();
  const std::vector<CheckpointFolder> found = list_checkpoints(run);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].step, static_cast<int64_t>(column(run, "step").size()));
  EXPECT_EQ(verified(run).find(cat("step ", found[0].step, " ")), 0u);
}

TEST_F(Parallel, AKilledRankEndsTheJobWhichSaysWhoItWas) {
  using Clock = std::chrono::steady_clock;
  const std::vector<std::string> words = calm() + std::vector<std::string>{kSteps};
  Child child(launch_words(4, recipe_, words), {.environment = {"TRIREME_FAILPOINT=train.step:kill:3@2"}});
  const Clock::time_point begin = Clock::now();
  EXPECT_EQ(child.wait(), 1);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(60));
  const std::string err = child.err();
  EXPECT_NE(err.find("trireme launch: rank 2 (pid "), std::string::npos) << err;
  EXPECT_NE(err.find("was killed by SIGKILL"), std::string::npos) << err;
  EXPECT_NE(err.find("died, or the connection to it is lost; rank 0 stops too"), std::string::npos) << err;
}

TEST_F(Parallel, AFailingRankEndsTheJobWithItsReason) {
  const std::vector<std::string> words = calm() + std::vector<std::string>{kSteps};
  Child child(launch_words(2, recipe_, words), {.environment = {"TRIREME_FAILPOINT=train.step:error:3@1"}});
  EXPECT_EQ(child.wait(), 1);
  const std::string err = child.err();
  EXPECT_NE(err.find("[rank 1] trireme: failpoint train.step"), std::string::npos) << err;
  EXPECT_NE(err.find("failed: failpoint train.step; all ranks have been ended"), std::string::npos) << err;
}

TEST_F(Parallel, ASaveThatFailsOnOneRankFailsOnAllAndCostsNothing) {
  const std::vector<std::string> words = calm() + std::vector<std::string>{kSteps};
  Child child(launch_words(2, recipe_, words + std::vector<std::string>{"parallel.zero_stage=1"}),
              {.environment = {"TRIREME_FAILPOINT=checkpoint.file:error:1@1"}});
  EXPECT_EQ(child.wait(), 0) << child.err();
  EXPECT_NE(child.err().find("step 4: checkpoint not saved: on rank 1: failpoint checkpoint.file"), std::string::npos)
      << child.err();
  const std::string good = train("good", {2, {"parallel.zero_stage=1"}});
  EXPECT_EQ(verified(dir_.path("run")), verified(good));
}

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

/// Whether the process is gone, or only waits to be reaped by somebody who is not us.
bool gone(const std::string& pid) {
  const std::string stat = first_line("/proc/" + pid + "/stat");
  return stat.empty() || stat.substr(stat.rfind(')') + 2, 1) == "Z";
}

TEST_F(Parallel, NoRankOutlivesItsLauncher) {
  Child child(launch_words(3, recipe_, calm() + std::vector<std::string>{"train.max_steps=1000000", "eval.every=0"}));
  const std::string children = cat("/proc/", child.pid(), "/task/", child.pid(), "/children");
  std::vector<std::string> ranks;
  for (int i = 0; i < 1000 && ranks.size() < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ranks.clear();
    for (const std::string& pid : split(first_line(children), ' '))
      if (!trim(pid).empty()) ranks.push_back(std::string(trim(pid)));
  }
  ASSERT_EQ(ranks.size(), 3u);
  child.kill(SIGKILL);
  EXPECT_EQ(child.wait(), -SIGKILL);
  for (const std::string& rank : ranks) {
    for (int i = 0; i < 100 && !gone(rank); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(gone(rank)) << rank;
  }
}

TEST_F(Parallel, WhatTheUserWroteWrongIsToldOnce) {
  Child misspelt(launch_words(3, recipe_, {"optimizer.lrr=1"}));
  EXPECT_EQ(misspelt.wait(), 2);
  const std::string err = misspelt.err();
  const size_t first = err.find("trireme: command line: unknown key 'optimizer.lrr'");
  ASSERT_NE(first, std::string::npos) << err;
  EXPECT_EQ(err.find("trireme: ", first + 1), std::string::npos) << err;

  Child layout({"train", recipe_, "parallel.tensor=2"});
  EXPECT_EQ(layout.wait(), 2);
  EXPECT_NE(layout.err().find("needs 2 processes, but there is 1; start them with `trireme launch --nproc-per-node 2"),
            std::string::npos)
      << layout.err();
}

TEST_F(Parallel, ADryRunPlansAnyLayoutInOneProcess) {
  const testing::Outcome outcome = testing::run({"train", recipe_, "--dry-run", "parallel.tensor=2", "parallel.data=4",
                                                 "parallel.zero_stage=1", "data.global_batch_size=8"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("plan of a rank"), std::string::npos);
}

}  // namespace
}  // namespace trireme
