// Ranks killed with SIGKILL, one of them, all at once, or their launcher, in every phase of a run of several processes;
// in every fifth trial a second time while the run recovers. Started again, the run ends as if nothing had happened:
// same rows, same state hash, bit by bit.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/hash.h"
#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child, testing::RunRecord;

bool in_full() { return std::getenv("TRIREME_LONG") != nullptr; }

/// A place in a phase, and how often at least a rank passes it in a run.
struct Moment {
  const char *phase, *failpoint;
  int64_t passes;
  enum class Ranks { all, first, others } ranks = Ranks::all;  // that pass it
};

const Moment kMoments[] = {
    {"start-up", "run.start", 1},
    {"start-up", "tokenizer.rename", 1, Moment::Ranks::first},
    {"start-up", "prepare.before_index", 1, Moment::Ranks::first},
    {"rendezvous", "rendezvous.hello", 1, Moment::Ranks::others},
    {"rendezvous", "rendezvous.admit", 1, Moment::Ranks::first},
    {"data", "train.step", 30},
    {"forward", "runner.forward", 30},
    {"backward", "runner.backward", 30},
    {"collective", "collective.enter", 100},
    {"collective", "collective.met", 100},
    {"optimizer", "train.update", 30},
    {"optimizer", "train.updated", 30},
    {"evaluation", "runner.evaluate", 3},
    {"log", "train.row", 30, Moment::Ranks::first},
    {"gathering a save", "checkpoint.exchange", 5},
    {"writing", "checkpoint.file", 4},
    {"commit", "checkpoint.before_manifest", 3, Moment::Ranks::first},
    {"commit", "checkpoint.after_manifest", 3, Moment::Ranks::first},
    {"cleanup", "checkpoint.trash", 1, Moment::Ranks::first},
    {"cleanup", "checkpoint.removed_file", 5, Moment::Ranks::first},
    {"shutdown", "run.end", 1},
};
const Moment kCopy = {"copying a save", "checkpoint.copied", 2};
/// Where a run that is started again may be killed again.
const Moment kRecovery[] = {
    {"recovery", "train.step", 1}, {"recovery", "restore.weights", 1}, {"recovery", "run.end", 1}};

enum class Victim { one, all, launcher };

struct Layout {
  const char* name;
  int processes;
  std::vector<std::string> words;
  bool background = false;
};

const Layout kLayouts[] = {
    {"2 processes, data=2, zero=1", 2, {"parallel.zero_stage=1"}},
    {"4 processes, tensor=2, pipeline=2", 4, {"parallel.tensor=2", "parallel.pipeline=2"}},
    {"4 processes, data=4, zero=3, background", 4, {"parallel.zero_stage=3", "checkpoint.background=true"}, true},
};

/// Calls fn(pid, state) for each process with `word` in its command line; state as in /proc/PID/stat.
template <class Fn>
void for_processes_with(const std::string& word, Fn fn) {
  const auto text_of = [](const std::filesystem::path& path) {
    std::string text;
    std::ifstream file(path, std::ios::binary);
    std::getline(file, text);  // empty where the process ends meanwhile
    return text;
  };
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (text_of(entry.path() / "cmdline").find(word) == std::string::npos) continue;
    const std::string stat = text_of(entry.path() / "stat");
    if (const size_t at = stat.rfind(") "); at != std::string::npos)
      fn(static_cast<pid_t>(std::stoi(name)), stat[at + 2]);
  }
}

/// Waits up to 5 s until no process has `word` in its command line.
bool all_gone(const std::string& word) {
  for (int i = 0; i < 250; ++i) {
    bool any = false;
    for_processes_with(word, [&](pid_t, char) { any = true; });
    if (!any) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

/// The process with `word` in its command line that has been stopped; 0 where there is none.
pid_t stopped_process(const std::string& word) {
  pid_t stopped = 0;
  for_processes_with(word, [&](pid_t pid, char state) { stopped = state == 'T' ? pid : stopped; });
  return stopped;
}

/// A run in a folder of its own.
class RunOfRanks {
 public:
  explicit RunOfRanks(const Layout& layout) : layout_(layout) {}
  const std::string& folder() const { return folder_; }

  std::vector<std::string> command() const {
    std::vector<std::string> words = {"launch", "--nproc-per-node",        cat(layout_.processes), "--", "train",
                                      recipe_,  "data.micro_batch_size=1", "train.threads=1"};
    words.insert(words.end(), layout_.words.begin(), layout_.words.end());
    return words;
  }

  /// Empty, or why it did not end well.
  std::string finish(const std::vector<std::string>& environment = {}) const {
    Child child(command(), {.environment = environment});
    const int code = child.wait();
    return code == 0 ? "" : cat("exit code ", code, ": ", child.err());
  }

  /// Starts it and kills it at that moment; empty, or what went wrong. `came`: whether the moment did.
  std::string kill_at(const Moment& moment, int64_t pass, Victim victim, int rank, bool& came) const {
    const std::string action = victim == Victim::launcher ? "stop" : "kill";
    const std::string at = victim == Victim::all ? "" : cat("@", rank);
    Child child(command(), {.environment = {cat("TRIREME_FAILPOINT=", moment.failpoint, ":", action, ":", pass, at)}});
    if (victim == Victim::launcher) {
      wait_until_stopped(child);
      child.kill(SIGKILL);
    }
    const int code = child.wait();
    came =
        victim == Victim::launcher ? code == -SIGKILL : code == 1 && child.err().find("SIGKILL") != std::string::npos;
    if (!came && code != 0) return cat("exit code ", code, ": ", child.err());
    if (!all_gone(recipe_)) return "processes are left";
    for (const CheckpointFolder& checkpoint : list_checkpoints(folder_))
      for (const std::string& damage : damage_of(checkpoint.path, nullptr)) return damage;
    return "";
  }

  /// Starts it, stops `rank` at that moment, sends the launcher SIGTERM, lets the rank go on; empty, or what went
  /// wrong.
  std::string terminate_at(const Moment& moment, int64_t pass, int rank) const {
    Child child(command(), {.environment = {cat("TRIREME_FAILPOINT=", moment.failpoint, ":stop:", pass, "@", rank)}});
    const pid_t stopped = wait_until_stopped(child);
    // A busy background leaves saves out: their moments may come in the last one, where no step is left, or not at all.
    const bool may_be_over = layout_.background && std::string_view(moment.failpoint).starts_with("checkpoint.");
    if (stopped == 0 && !may_be_over) return "this moment does not come";
    if (stopped != 0) {
      child.kill(SIGTERM);
      kill(stopped, SIGCONT);
    }
    const int code = child.wait();
    const bool over = code == 0 && may_be_over;
    if (!over && (code != 3 || stopped == 0)) return cat("exit code ", code, ": ", child.err());
    const std::vector<CheckpointFolder> found = list_checkpoints(folder_);
    const size_t steps = testing::metrics_rows(folder_).size();
    if (over && static_cast<int64_t>(steps) != testing::kTinySteps) return cat("ended after ", steps, " steps");
    if (found.empty() || found[0].step != static_cast<int64_t>(steps)) return cat("no checkpoint of step ", steps);
    return all_gone(recipe_) ? "" : "processes are left";
  }

  /// As testing::record_of, from any thread.
  RunRecord record() const {
    const Manifest newest = verify_checkpoint(list_checkpoints(folder_).at(0).path, nullptr);
    return {testing::metrics_rows(folder_), cat("step ", newest.step, " state-hash ", newest.state_hash.str())};
  }

 private:
  /// The stopped rank; 0 where the run ends without.
  pid_t wait_until_stopped(const Child& child) const {
    pid_t stopped = 0;
    while ((stopped = stopped_process(recipe_)) == 0 && child.running())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return stopped;
  }

  const Layout& layout_;
  testing::TempDir dir_;
  const std::string recipe_ = testing::write_tiny_recipe(dir_.path()), folder_ = dir_.path("run");
};

struct Tally {
  std::mutex mutex;
  std::map<std::string, int> kills;  // by phase
  int all = 0, launchers = 0, twice = 0, sum = 0;
};

/// One trial: killed at the moment, perhaps again in recovery, then finished. Empty, or what went wrong.
std::string trial(const Layout& layout, const Moment& moment, int number, const RunRecord& reference, Tally& tally) {
  const RunOfRanks run(layout);
  const RandomKey key = RandomKey::of(
      11, hash64(std::as_bytes(std::span(layout.name, std::strlen(layout.name))), static_cast<uint64_t>(number)));
  const auto draw = [&](uint64_t what, int64_t below) { return static_cast<int64_t>(key.draw(what, 0)[0] % below); };
  const int others = layout.processes - 1;
  const int rank = moment.ranks == Moment::Ranks::first    ? 0
                   : moment.ranks == Moment::Ranks::others ? 1 + static_cast<int>(draw(1, others))
                                                           : static_cast<int>(draw(1, layout.processes));
  const int64_t pass = 1 + draw(2, moment.passes);
  const Victim victim = number % 3 == 0 ? Victim::all : number % 7 == 1 ? Victim::launcher : Victim::one;
  const std::string where = cat(moment.failpoint, " (", pass, ") of rank ", rank, ", ", layout.name, ": ");
  bool came = false;
  if (const std::string wrong = run.kill_at(moment, pass, victim, rank, came); !wrong.empty()) return where + wrong;
  if (!came) return layout.background ? "" : where + "this moment does not come";  // a busy background leaves saves out
  bool again = false;
  if (number % 5 == 4) {
    const Moment& second = kRecovery[number / 5 % std::size(kRecovery)];
    if (const std::string wrong = run.kill_at(second, 1, Victim::one, rank, again); !wrong.empty())
      return where + wrong;
  }
  if (const std::string wrong = run.finish(); !wrong.empty()) return where + wrong;
  if (const std::string wrong = testing::difference(reference, run.record()); !wrong.empty()) return where + wrong;
  const auto left = static_cast<int64_t>(list_checkpoints(run.folder()).size() + list_unfinished(run.folder()).size());
  if (left > testing::kTinyKeepLast) return cat(where, left, " folders of checkpoints are left");
  const std::lock_guard lock(tally.mutex);
  ++tally.kills[moment.phase];
  if (again) ++tally.kills["recovery"];
  tally.all += victim == Victim::all && moment.ranks == Moment::Ranks::all ? 1 : 0;
  tally.launchers += victim == Victim::launcher ? 1 : 0;
  tally.twice += again ? 1 : 0;
  tally.sum += again ? 2 : 1;
  return "";
}

class Kills : public ::testing::TestWithParam<size_t> {};

INSTANTIATE_TEST_SUITE_P(Layouts, Kills, ::testing::Range(size_t{0}, std::size(kLayouts)));

TEST_P(Kills, OfRanksInAnyPhaseChangeNoBit) {
  const Layout& layout = kLayouts[GetParam()];
  std::vector<Moment> moments(std::begin(kMoments), std::end(kMoments));
  if (layout.background) moments.insert(moments.end(), 3, kCopy);
  // Every day a third of the moments for each layout; in full every moment eight times for each.
  std::vector<std::pair<Moment, int>> trials;
  for (size_t i = 0; i < moments.size(); ++i)
    for (int n = 0; n < (in_full() ? 8 : i % std::size(kLayouts) == GetParam() ? 1 : 0); ++n)
      trials.emplace_back(moments[i], static_cast<int>(trials.size()));

  const RunOfRanks straight(layout);
  ASSERT_EQ(straight.finish(), "");
  const RunRecord reference = straight.record();
  Tally tally;
  std::atomic<size_t> next{0};
  std::vector<std::thread> workers;
  const size_t cores = std::max(1U, std::thread::hardware_concurrency());
  for (size_t w = 0; w < (in_full() ? std::max<size_t>(1, cores / 4) : 1); ++w)
    workers.emplace_back([&] {
      for (size_t i; (i = next++) < trials.size();)
        if (const std::string wrong = trial(layout, trials[i].first, trials[i].second, reference, tally);
            !wrong.empty())
          ADD_FAILURE() << wrong;
    });
  for (std::thread& worker : workers) worker.join();

  std::string phases;
  for (const auto& [phase, count] : tally.kills) phases += cat(phases.empty() ? "" : ", ", phase, " ", count);
  std::printf(
      "  %s: %d kills (%s), %d of them of all ranks, %d of the launcher, %d runs killed twice; all ended "
      "bit-identical\n",
      layout.name, tally.sum, phases.c_str(), tally.all, tally.launchers, tally.twice);
  EXPECT_GE(tally.sum, static_cast<int>(trials.size()) * 3 / 4);
}

TEST(KillsDefect, ARestoreThatForgetsSomethingIsNoticed) {
  const Layout& layout = kLayouts[0];
  const RunOfRanks straight(layout);
  ASSERT_EQ(straight.finish(), "");
  for (const char* defect : {"restore.samples:skip", "runner.random_step:skip", "restore.samples:skip@1"}) {
    const RunOfRanks run(layout);
    bool came = false;
    ASSERT_EQ(run.kill_at({"data", "train.step", 1}, 12, Victim::all, 0, came), "");
    ASSERT_EQ(run.finish({cat("TRIREME_FAILPOINT=", defect)}), "");
    EXPECT_NE(testing::difference(straight.record(), run.record()), "") << defect;
  }
}

TEST_P(Kills, ATermSignalInAnyPhaseOfAStepStopsAllRanksAfterOneStepWithItsCheckpoint) {
  const Layout& layout = kLayouts[GetParam()];
  const RunOfRanks straight(layout);
  ASSERT_EQ(straight.finish(), "");
  const RunRecord reference = straight.record();
  int number = 0, signals = 0;
  for (const Moment& moment : kMoments) {
    const bool in_a_step = moment.passes > 1 && moment.ranks == Moment::Ranks::all;
    if (!in_a_step || (!in_full() && number++ % std::size(kLayouts) != GetParam())) continue;
    const RunOfRanks run(layout);
    SCOPED_TRACE(moment.failpoint);
    ASSERT_EQ(run.terminate_at(moment, 1 + moment.passes / 2, layout.processes - 1), "");
    ASSERT_EQ(run.finish(), "");
    EXPECT_EQ(testing::difference(reference, run.record()), "");
    ++signals;
  }
  std::printf("  %s: SIGTERM in %d phases of a step, all ended bit-identical when continued\n", layout.name, signals);
}

TEST_P(Kills, AFullDiskCostsNoEarlierCheckpointAndTheRunGoesOnWhenThereIsRoom) {
  const Layout& layout = kLayouts[GetParam()];
  const RunOfRanks straight(layout), run(layout);
  ASSERT_EQ(straight.finish(), "");
  bool came = false;
  ASSERT_EQ(run.kill_at({"commit", "checkpoint.after_manifest", 1}, 1, Victim::one, 0, came), "");
  ASSERT_TRUE(came);
  Child child(run.command(), {.file_size_limit = 40000});  // less than the weights, more than the logs
  EXPECT_EQ(child.wait(), 1) << child.err();
  EXPECT_NE(child.err().find("File too large"), std::string::npos) << child.err();
  ASSERT_EQ(list_checkpoints(run.folder()).size(), 1u);
  EXPECT_TRUE(damage_of(list_checkpoints(run.folder())[0].path, nullptr).empty());
  ASSERT_EQ(run.finish(), "");
  EXPECT_EQ(testing::difference(straight.record(), run.record()), "");
  EXPECT_TRUE(list_unfinished(run.folder()).empty());
}

}  // namespace
}  // namespace trireme
