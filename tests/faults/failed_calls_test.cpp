// Every system call of a save and of a load fails once with every error that it may give, under one process, ranks, and
// ranks that write in the background. Whatever fails: all ranks are told the same, the earlier checkpoint loads, what
// was acknowledged loads, the next save works and clears up, no descriptor stays open.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "base/log.h"
#include "base/strings.h"
#include "faults/rank_saves.h"
#include "faults/system_calls.h"
#include "support/file_systems.h"

namespace trireme {
namespace {

using testing::all_saved, testing::CallWatch, testing::kSavers, testing::RankSaves, testing::Saver, testing::SystemCall,
    testing::TempDir, testing::Told;

constexpr const char* kLeftover = "step-000000000-";  // of a killed save

int64_t open_files() {
  int64_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

int64_t folders_in(const std::string& folder) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.is_directory() ? 1 : 0;
  return count;
}

/// A run with a checkpoint of step 1 and what a killed save left.
void prepare(const RankSaves& saves, const std::string& run) {
  testing::write_carried(run);
  ASSERT_TRUE(all_saved(saves.save(run, 1)));
  std::filesystem::create_directory(checkpoints_folder(run) + "/" + kLeftover + "abcdef");
}

/// Of a call in a save of step 2: whether the save must go well all the same, or must not.
bool must_succeed(const SystemCall& call, int error) {
  const bool repeated = error == EINTR && call.name != "fsync" && call.name != "openat";
  return error == testing::kShort || repeated || call.path.find(kLeftover) != std::string::npos;
}
bool must_fail(const SystemCall& call, int error) {
  if (must_succeed(call, error)) return false;
  static const std::string kWriting[] = {"write", "fsync", "rename", "mkdir"};
  const bool writes = std::find(std::begin(kWriting), std::end(kWriting), call.name) != std::end(kWriting);
  return writes || (call.name == "open" && call.path.find("/step-000000002-") != std::string::npos);
}

/// What is wrong after a save of step 2 in which `call` failed; empty where all is as promised.
std::string judge_save(const RankSaves& saves, const std::string& run, const CallWatch& watch, const SystemCall& call,
                       int error, const Told& told) {
  const bool saved = all_saved(told);
  for (const std::string& text : told)
    if (text.empty() != saved) return "some ranks were told that it failed, others that it did not";
  const int64_t newest = saves.newest_step(run);
  if (newest != (saved ? 2 : 1)) return cat(saved ? "acknowledged" : "refused", ", and then step ", newest, " loads");
  if (saved && must_fail(call, error)) return "acknowledged all the same";
  if (!saved && must_succeed(call, error)) return cat("not saved: ", told[0]);
  if (!saved && told[0].find(std::generic_category().message(error)) == std::string::npos)
    return cat("no reason in: ", told[0]);
  if (!saved && told[0].find(watch.failed_path()) == std::string::npos) return cat("no path in: ", told[0]);
  return "";
}

struct Tally {
  int64_t cases = 0, calls = 0;
  std::map<std::string, int64_t> by_error;
  std::vector<std::string> wrong;

  void add(const SystemCall& call, int error, const std::string& what) {
    ++cases;
    ++by_error[testing::error_name(error)];
    if (!what.empty())
      wrong.push_back(cat(call.name, " ", call.path, " (", call.pass, "), ", testing::error_name(error), ": ", what));
  }
  std::string errors() const {
    std::string text;
    for (const auto& [name, count] : by_error) text += cat(text.empty() ? "" : ", ", name, " ", count);
    return text;
  }
};

/// Every call of a save of step 2 with every error; every `stride`-th of these cases.
Tally fail_saves(const RankSaves& saves, FileSystem& fs, int64_t stride) {
  Tally tally;
  std::vector<SystemCall> calls;
  {
    const TempDir dir(testing::memory_folder());
    prepare(saves, dir.path());
    const CallWatch watch(dir.path());
    EXPECT_TRUE(all_saved(saves.save(dir.path(), 2, fs)));
    calls = watch.calls();
  }
  tally.calls = static_cast<int64_t>(calls.size());
  int64_t number = 0;
  for (const SystemCall& call : calls)
    for (const int error : testing::errors_of(call.name)) {
      if (number++ % stride != 0) continue;
      const TempDir dir(testing::memory_folder());
      const std::string& run = dir.path();
      prepare(saves, run);
      const int64_t before = open_files();
      std::string what;
      {
        const CallWatch watch(run, call, error);
        Told told;
        try {
          told = saves.save(run, 2, fs);
        } catch (const std::exception& e) {
          what = cat("an error of the wrong kind: ", e.what());
        }
        EXPECT_TRUE(watch.failed()) << call.name << " " << call.path << " (" << call.pass << ") did not come";
        if (what.empty()) what = judge_save(saves, run, watch, call, error, told);
      }
      if (what.empty() && open_files() != before) what = "a descriptor stays open";
      const int64_t whole = saves.newest_step(run) == 2 ? 3 : 2;
      if (what.empty() && (!all_saved(saves.save(run, 3)) || saves.newest_step(run) != 3)) what = "the next save fails";
      if (what.empty() && folders_in(checkpoints_folder(run)) != whole) what = "the next save leaves remains";
      tally.add(call, error, what);
    }
  return tally;
}

class FailedSaves : public ::testing::TestWithParam<Saver> {};

INSTANTIATE_TEST_SUITE_P(Savers, FailedSaves, ::testing::ValuesIn(kSavers), [](const auto& saver) {
  return std::string(saver.param.background ? "InTheBackground" : saver.param.ranks > 1 ? "OfRanks" : "OfOneProcess");
});

TEST_P(FailedSaves, CostNoCheckpoint) {
  set_console_level(LogLevel::error);  // remains that cannot be removed yet are told each time
  const RankSaves saves(GetParam());
  const Tally tally = fail_saves(saves, real_file_system(), 1);
  for (const std::string& wrong : tally.wrong) ADD_FAILURE() << wrong;
  std::printf("  saves of %s: %lld calls, %lld failures (%s), %zu of them lost a checkpoint or were hidden\n",
              GetParam().name, static_cast<long long>(tally.calls), static_cast<long long>(tally.cases),
              tally.errors().c_str(), tally.wrong.size());
  EXPECT_GT(tally.cases, 100);
}

/// From some call on none goes through: what is left is what a process leaves that is killed there.
TEST_P(FailedSaves, KilledAtAnyCallLeaveTheEarlierCheckpointOrAWholeNewOne) {
  set_console_level(LogLevel::error);
  const RankSaves saves(GetParam());
  int64_t calls = 0, kills = 0, committed = 0;
  for (int64_t call = -1; call < calls; ++call) {
    const TempDir dir(testing::memory_folder());
    prepare(saves, dir.path());
    testing::FailingFileSystem fs(call, "killed", call >= 0);
    const Told told = saves.save(dir.path(), 2, fs);
    if (call < 0) {
      calls = fs.calls();
      continue;
    }
    SCOPED_TRACE(cat("killed at call ", call, " (", fs.failed_call(), ")"));
    const int64_t newest = saves.newest_step(dir.path());
    EXPECT_TRUE(newest == 2 || (newest == 1 && !all_saved(told))) << newest;
    ++kills;
    committed += newest == 2 ? 1 : 0;
    EXPECT_TRUE(all_saved(saves.save(dir.path(), 3)));  // the next save works, and clears up
    EXPECT_EQ(saves.newest_step(dir.path()), 3);
    EXPECT_EQ(folders_in(checkpoints_folder(dir.path())), newest == 2 ? 3 : 2);
  }
  std::printf("  saves of %s killed at each of %lld calls: %lld left the new checkpoint whole, %lld the earlier one\n",
              GetParam().name, static_cast<long long>(kills), static_cast<long long>(committed),
              static_cast<long long>(kills - committed));
  EXPECT_GT(kills, 20);
  EXPECT_LT(committed, 4);
}

/// Takes no notice of errors of one kind of call.
class CarelessFileSystem : public testing::ForwardingFileSystem {
 public:
  explicit CarelessFileSystem(std::string call) : call_(std::move(call)) {}
  void write(int fd, std::span<const std::byte> bytes, const std::string& path) override {
    unless("write", [&] { ForwardingFileSystem::write(fd, bytes, path); });
  }
  void sync(int fd, const std::string& path) override {
    unless("fsync", [&] { ForwardingFileSystem::sync(fd, path); });
  }
  void sync_directory(const std::string& path) override {
    unless("fsync folder", [&] { ForwardingFileSystem::sync_directory(path); });
  }

 private:
  template <class Call>
  void unless(const std::string& name, Call call) {
    try {
      call();
    } catch (const IoError&) {
      if (name != call_) throw;
    }
  }
  std::string call_;
};

TEST(FailedCallsDefect, AWriterThatTakesNoNoticeOfAFailureTurnsThemRed) {
  set_console_level(LogLevel::error);
  const RankSaves saves(kSavers[1]);
  size_t caught = 0;
  const char* const kCalls[] = {"write", "fsync", "fsync folder"};
  for (const char* call : kCalls) {
    CarelessFileSystem fs(call);
    const Tally tally = fail_saves(saves, fs, 13);
    EXPECT_FALSE(tally.wrong.empty()) << call;
    caught += tally.wrong.empty() ? 0 : 1;
  }
  std::printf("  writers that take no notice of a failing call: %zu of %zu caught\n", caught, std::size(kCalls));
}

/// What opening the newest checkpoint gave: its step, or why there is none; and which were passed over.
struct Loaded {
  int64_t step = -1;
  std::string error, passed_over;
};

Loaded load(const std::string& run, Check check) {
  Loaded out;
  try {
    const auto found = newest_valid(
        run, [&](const std::string& path, const std::string& why) { out.passed_over += cat(path, ": ", why, "\n"); },
        nullptr, check);
    if (found) {
      found->state_hash(nullptr);
      out.step = found->manifest().step;
    }
  } catch (const IoError& e) {
    out.error = e.what();
  }
  return out;
}

/// A load of step 2, or of step 1 with the reason why, or an error with the reason.
std::string judge_load(const Loaded& loaded, const CallWatch& watch, const SystemCall& call, int error) {
  if (loaded.step == 2) return "";
  if (loaded.step == -1 && loaded.error.empty()) return "no checkpoint, and no reason";
  if (must_succeed(call, error)) return cat("not loaded: ", loaded.error, loaded.passed_over);
  for (const std::string& word : {watch.failed_path(), std::generic_category().message(error)})
    if ((loaded.error + loaded.passed_over).find(word) == std::string::npos)
      return cat("step ", loaded.step, " without '", word, "' in: ", loaded.error, loaded.passed_over);
  return "";
}

TEST(FailedCalls, OfALoadAreToldWithFileAndReason) {
  const RankSaves saves(kSavers[1]);
  const TempDir dir(testing::memory_folder());
  prepare(saves, dir.path());
  ASSERT_TRUE(all_saved(saves.save(dir.path(), 2)));
  Tally tally;
  for (const Check check : {Check::all, Check::read}) {
    std::vector<SystemCall> calls;
    {
      const CallWatch watch(dir.path());
      EXPECT_EQ(load(dir.path(), check).step, 2);
      calls = watch.calls();
    }
    tally.calls += static_cast<int64_t>(calls.size());
    for (const SystemCall& call : calls)
      for (const int error : testing::errors_of(call.name)) {
        const int64_t before = open_files();
        const CallWatch watch(dir.path(), call, error);
        std::string what;
        try {
          what = judge_load(load(dir.path(), check), watch, call, error);
        } catch (const std::exception& e) {
          what = cat("an error of the wrong kind: ", e.what());
        }
        if (what.empty() && open_files() != before) what = "a descriptor stays open";
        tally.add(call, error, what);
      }
  }
  for (const std::string& wrong : tally.wrong) ADD_FAILURE() << wrong;
  std::printf("  loads: %lld calls, %lld failures (%s), %zu of them were hidden\n", static_cast<long long>(tally.calls),
              static_cast<long long>(tally.cases), tally.errors().c_str(), tally.wrong.size());
}

}  // namespace
}  // namespace trireme
