// The power goes after every call of three saves, with the deletion of older ones between them: by one process, by
// ranks, by ranks in the background. Disks are rebuilt as they may have been left (support/file_systems.h); on each the
// newest acknowledged checkpoint, or a newer one that is whole, must load.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "base/strings.h"
#include "faults/rank_saves.h"
#include "support/file_systems.h"

namespace trireme {
namespace {

using testing::all_saved, testing::kSavers, testing::RankSaves, testing::Saver, testing::TempDir;
using Call = testing::RecordingFileSystem::Call;
using Log = std::vector<Call>;

constexpr const char* kAcknowledged = "acknowledged";

int64_t images_of_a_saver() { return std::getenv("TRIREME_LONG") != nullptr ? 34'000 : 700; }

bool is_sync(const Call& call) { return call.name == "fsync" || call.name == "fsync folder"; }
bool is_manifest(const Call& call) { return call.name == "rename" && ends_with(call.to, "/manifest.json"); }

/// Three saves, each with the deletion of the one before.
class Recorded {
 public:
  explicit Recorded(const Saver& saver) : saves_(saver) {
    testing::write_carried(dir_.path("disk/run"));
    testing::RecordingFileSystem fs;
    for (const int64_t step : {1, 2, 3})
      EXPECT_TRUE(all_saved(saves_.save(
          dir_.path("disk/run"), step, fs, [&] { fs.mark(kAcknowledged, static_cast<uint64_t>(step)); }, 1)));
    log_ = fs.log();
  }

  const Log& log() const { return log_; }
  const Saver& saver() const { return saves_.saver(); }

  /// Whether the disk after `num_calls` of `log` and a power loss has what was acknowledged; seeds differ in what of
  /// the unsynced is lost.
  bool survives(const Log& log, size_t num_calls, uint64_t seed, const std::string& image) const {
    int64_t acknowledged = -1;
    for (size_t i = 0; i < num_calls; ++i)
      if (log[i].name == kAcknowledged) acknowledged = static_cast<int64_t>(log[i].size);
    std::mt19937_64 random(seed);
    crash_image(log, dir_.path("disk"), num_calls, image, random);
    const int64_t newest = saves_.newest_step(image + "/run");
    return newest >= acknowledged && newest != -2;
  }

  /// Of `images` disks, evenly over all moments, those that lost something.
  int64_t losses(const Log& log, int64_t images) const {
    std::atomic<int64_t> lost{0};
    ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
    pool.parallel_for(images, 16, [&](int64_t begin, int64_t end, int) {
      const TempDir scratch(testing::memory_folder());
      for (int64_t i = begin; i < end; ++i)
        if (!survives(log, static_cast<size_t>(i) % (log.size() + 1), static_cast<uint64_t>(i), scratch.path("image")))
          ++lost;
    });
    return lost;
  }

 private:
  TempDir dir_{testing::memory_folder()};
  RankSaves saves_;
  Log log_;
};

class PowerLoss : public ::testing::TestWithParam<Saver> {};

INSTANTIATE_TEST_SUITE_P(Savers, PowerLoss, ::testing::ValuesIn(kSavers), [](const auto& saver) {
  return std::string(saver.param.background ? "InTheBackground" : saver.param.ranks > 1 ? "OfRanks" : "OfOneProcess");
});

TEST_P(PowerLoss, LosesNoAcknowledgedCheckpoint) {
  const Recorded recorded(GetParam());
  const int64_t images = images_of_a_saver(), lost = recorded.losses(recorded.log(), images);
  std::printf("  power loss at every one of %zu calls of 3 saves of %s: %lld images, %lld lost a checkpoint\n",
              recorded.log().size(), GetParam().name, static_cast<long long>(images), static_cast<long long>(lost));
  EXPECT_EQ(lost, 0);
}

Log without(Log log, const std::function<bool(const Call&)>& left_out) {
  std::erase_if(log, left_out);
  return log;
}

/// Moves the calls that `moved` names to right behind the next one that `mark` names.
Log moved_behind(const Log& log, const std::function<bool(const Call&)>& moved,
                 const std::function<bool(const Call&)>& mark) {
  Log out, held;
  for (const Call& call : log) {
    if (moved(call)) {
      held.push_back(call);
      held.back().fd = -1;
      continue;
    }
    out.push_back(call);
    if (mark(call)) out.insert(out.end(), held.begin(), held.end()), held.clear();
  }
  return out;
}

/// Moves the calls that `moved` names to right before the last one before them that `mark` names.
Log moved_before(const Log& log, const std::function<bool(const Call&)>& moved,
                 const std::function<bool(const Call&)>& mark) {
  Log out;
  size_t place = 0;
  for (const Call& call : log) {
    if (mark(call)) place = out.size();
    if (moved(call))
      out.insert(out.begin() + static_cast<std::ptrdiff_t>(place++), call);
    else
      out.push_back(call);
  }
  return out;
}

bool acknowledges(const Call& call) { return call.name == kAcknowledged; }
bool holds_tensors(const Call& call) { return ends_with(call.path, ".safetensors"); }

/// What a writer may do wrong, as a change of the log of one that does it right.
struct Defect {
  const char* name;
  std::function<Log(const Log&)> seed;
};

const Defect kDefects[] = {
    {"no file is synced", [](const Log& log) { return without(log, [](const Call& c) { return c.name == "fsync"; }); }},
    {"no folder is synced",
     [](const Log& log) { return without(log, [](const Call& c) { return c.name == "fsync folder"; }); }},
    {"the new folder is not synced",
     [](const Log& log) {
       return without(
           log, [](const Call& c) { return c.name == "fsync folder" && c.path.find("/step-") != std::string::npos; });
     }},
    {"the folder above it is not synced",
     [](const Log& log) {
       return without(log, [](const Call& c) { return c.name == "fsync folder" && ends_with(c.path, "/checkpoints"); });
     }},
    {"one rank's shard is not synced",
     [](const Log& log) {
       return without(
           log, [](const Call& c) { return c.name == "fsync" && ends_with(c.path, "/optimizer-rank-1.safetensors"); });
     }},
    {"the manifest is not synced",
     [](const Log& log) {
       return without(
           log, [](const Call& c) { return c.name == "fsync" && c.path.find("/manifest.json") != std::string::npos; });
     }},
    {"the manifest is written before the shards are synced, and acknowledged",
     [](const Log& log) {
       return moved_behind(
           log, [](const Call& c) { return c.name == "fsync" && holds_tensors(c); }, acknowledges);
     }},
    {"a save is acknowledged before its manifest is there",
     [](const Log& log) { return moved_before(log, acknowledges, is_manifest); }},
    {"the older one is deleted before the new one is committed",
     [](const Log& log) {
       return moved_before(
           log,
           [](const Call& c) {
             return c.path.find("/trash-") != std::string::npos || c.to.find("/trash-") != std::string::npos;
           },
           is_manifest);
     }},
};

TEST(PowerLossDefect, EveryKindTurnsItRed) {
  const Recorded recorded(kSavers[1]);
  int caught = 0;
  for (const Defect& defect : kDefects) {
    const Log log = defect.seed(recorded.log());
    const int64_t lost = recorded.losses(log, 2 * static_cast<int64_t>(log.size()));
    EXPECT_GT(lost, 0) << defect.name;
    caught += lost > 0 ? 1 : 0;
  }
  std::printf("  defects of a writer: %d of %zu caught\n", caught, std::size(kDefects));
}

/// Of all syncs of the first save; the others find its folders on the disk.
TEST(PowerLossDefect, NoSyncCanBeLeftOut) {
  for (const Saver& saver : kSavers) {
    const Recorded recorded(saver);
    const Log& log = recorded.log();
    const size_t end = static_cast<size_t>(std::find_if(log.begin(), log.end(), acknowledges) - log.begin());
    int syncs = 0, caught = 0, repeated = 0;
    const TempDir scratch(testing::memory_folder());
    for (size_t i = 0; i < end; ++i) {
      if (!is_sync(log[i])) continue;
      ++syncs;
      bool again = false;  // ranks sync the folder that they share, and the manifest's rename does
      for (size_t k = i + 1; k < end; ++k) again |= is_sync(log[k]) && log[k].path == log[i].path;
      repeated += again ? 1 : 0;
      Log without_it = log;
      without_it.erase(without_it.begin() + static_cast<std::ptrdiff_t>(i));
      bool lost = false;
      for (uint64_t seed = 0; seed < 50 && !lost; ++seed)
        lost = !recorded.survives(without_it, end, seed, scratch.path("image"));
      EXPECT_NE(lost, again) << log[i].name << " " << log[i].path;
      caught += lost ? 1 : 0;
    }
    std::printf(
        "  each of the %d syncs of a save of %s left out: %d caught, %d are followed by one of the same folder\n",
        syncs, saver.name, caught, repeated);
    EXPECT_GT(caught, 5);
  }
}

}  // namespace
}  // namespace trireme
