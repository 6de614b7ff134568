// Damage to what several ranks have saved: every kind is found, named with file and bytes, and never loaded.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "base/strings.h"
#include "checkpoint/sample.h"
#include "faults/rank_saves.h"

namespace trireme {
namespace {

namespace files = std::filesystem;
using testing::all_saved, testing::io_error, testing::kSavers, testing::RankSaves, testing::TempDir;

bool in_full() { return std::getenv("TRIREME_LONG") != nullptr; }

/// Two checkpoints of 3 ranks: steps 1 and 2.
struct TwoSteps {
  explicit TwoSteps(int64_t hidden_size = 6) : saves(kSavers[1], hidden_size) {
    EXPECT_TRUE(all_saved(saves.save(dir.path(), 1)) && all_saved(saves.save(dir.path(), 2)));
    const std::vector<CheckpointFolder> found = list_checkpoints(dir.path());
    older = found.at(1).path, newer = found.at(0).path;
  }
  const TempDir dir{testing::memory_folder()};
  RankSaves saves;
  std::string older, newer;
};

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : files::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

/// The numbers in "PATH: bytes BEGIN to END"; {0, 0} where the text has none.
std::pair<uint64_t, uint64_t> bytes_named(const std::string& text, const std::string& path) {
  const std::string words = path + ": bytes ";
  uint64_t begin = 0, end = 0;
  if (const size_t at = text.find(words); at != std::string::npos)
    std::sscanf(text.c_str() + at + words.size(), "%lu to %lu", &begin, &end);
  return {begin, end};
}

/// Why a checkpoint cannot be loaded, by a reader of all of it and by ranks that check what they read.
std::string refusal(const std::string& folder, Check check) {
  return io_error([&] { Checkpoint(folder, nullptr, check).state_hash(nullptr); });
}

/// Whether ranks that load the state read the file: what is in it is for other tools otherwise.
bool is_read_by_ranks(const std::string& name) { return !ends_with(name, ".index.json"); }

/// Whether a flipped bit is found by both, in the right file and at the right place.
bool is_named(const std::string& folder, const std::string& name, uint64_t byte) {
  const std::string path = cat(folder, "/", name);
  for (const Check check : {Check::all, Check::read}) {
    if (check == Check::read && !is_read_by_ranks(name)) continue;
    const std::string text = refusal(folder, check);
    if (name == kManifestName ? text.rfind(path + ": ", 0) != 0
                              : bytes_named(text, path).first > byte || bytes_named(text, path).second <= byte)
      return false;
  }
  return damage_of(folder, nullptr).size() == 1;
}

TEST(Damage, EveryFlippedBitOfWhatRanksSavedIsNamedWithFileAndBytes) {
  const TwoSteps run;
  std::vector<std::pair<std::string, uint64_t>> bits;
  for (const std::string& name : names_in(run.newer))
    for (uint64_t bit = 0; bit < files::file_size(cat(run.newer, "/", name)) * 8; ++bit) bits.emplace_back(name, bit);
  const size_t all = bits.size();
  std::shuffle(bits.begin(), bits.end(), std::mt19937_64(5));
  if (!in_full()) bits.resize(std::min<size_t>(bits.size(), 10'000));

  std::atomic<int64_t> missed{0};
  ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  pool.parallel_for(static_cast<int64_t>(bits.size()), 64, [&](int64_t begin, int64_t end, int) {
    const TempDir dir(testing::memory_folder());
    const std::string folder = dir.path("checkpoint");
    files::copy(run.newer, folder);
    for (int64_t i = begin; i < end; ++i) {
      const auto& [name, bit] = bits[static_cast<size_t>(i)];
      testing::flip_bit(cat(folder, "/", name), bit);
      missed += is_named(folder, name, bit / 8) ? 0 : 1;
      testing::flip_bit(cat(folder, "/", name), bit);
    }
    EXPECT_EQ(refusal(folder, Check::all), "");
  });
  std::printf("  %zu of %zu bits of a checkpoint of 3 ranks flipped, %lld not named with file and bytes\n", bits.size(),
              all, static_cast<long long>(missed.load()));
  EXPECT_EQ(missed, 0);
}

TEST(Damage, CutsAndZeroedPagesAtEveryBlockAreNamed) {
  TwoSteps run(600);  // files of several blocks
  int cases = 0, blocks = 0;
  for (const std::string& name : names_in(run.newer)) {
    const std::string path = cat(run.newer, "/", name);
    const uint64_t size = files::file_size(path);
    const std::string whole = read_file(path);
    const auto expect_named = [&](uint64_t begin, uint64_t end, const std::string& what) {
      for (const Check check : {Check::all, Check::read}) {
        if (check == Check::read && end > begin && !is_read_by_ranks(name)) continue;
        const std::string text = refusal(run.newer, check);
        ASSERT_NE(text.find(path), std::string::npos) << name << " " << what << ": " << text;
        if (end > begin) {
          ASSERT_LE(bytes_named(text, path).first, begin) << text;
          ASSERT_GE(bytes_named(text, path).second, end) << text;
        }
      }
      ++cases;
    };
    for (uint64_t block = 0; block * kBlockBytes < size; ++block, ++blocks) {
      for (const int64_t off : {-1, 0, 1}) {
        const int64_t length = static_cast<int64_t>(block * kBlockBytes) + off;
        if (length < 0 || length >= static_cast<int64_t>(size)) continue;
        files::resize_file(path, static_cast<uint64_t>(length));
        ASSERT_NO_FATAL_FAILURE(expect_named(0, 0, cat("cut to ", length)));
        testing::overwrite(path, whole);
      }
      const uint64_t begin = block * kBlockBytes, page = std::min<uint64_t>(4096, size - begin);
      std::string zeroed = whole;
      zeroed.replace(begin, page, page, '\0');
      if (name == kManifestName || zeroed == whole) continue;
      testing::overwrite(path, zeroed);
      ASSERT_NO_FATAL_FAILURE(expect_named(begin, begin + page, "zeroed page"));
      testing::overwrite(path, whole);
    }
    testing::overwrite(path, whole + '\0');
    ASSERT_NO_FATAL_FAILURE(expect_named(0, 0, "lengthened"));
    testing::overwrite(path, whole);
  }
  EXPECT_EQ(refusal(run.newer, Check::all), "");
  std::printf("  %d cuts, additions and zeroed pages at %d blocks of a checkpoint of 3 ranks, all named\n", cases,
              blocks);
  EXPECT_GT(blocks, 12);
}

/// Whatever file is not this checkpoint's own.
TEST(Damage, ShardsOfOtherRanksAndOfOtherStepsAreRefused) {
  TwoSteps run;
  int cases = 0;
  for (const std::string& name : names_in(run.newer)) {
    const std::string path = cat(run.newer, "/", name), own = read_file(path);
    std::vector<std::string> others = {cat(run.older, "/", name)};
    for (const std::string& other : names_in(run.newer)) others.push_back(cat(run.newer, "/", other));
    for (const std::string& other : others) {
      const std::string bytes = read_file(other);
      if (bytes == own) continue;
      testing::overwrite(path, bytes);
      for (const Check check : {Check::all, Check::read}) {
        if (check == Check::read && !is_read_by_ranks(name)) continue;
        EXPECT_NE(refusal(run.newer, check).find(run.newer), std::string::npos) << name << " from " << other;
      }
      EXPECT_FALSE(damage_of(run.newer, nullptr).empty()) << name << " from " << other;
      EXPECT_EQ(run.saves.newest_step(run.dir.path()), 1);
      ++cases;
    }
    testing::overwrite(path, own);
    files::rename(path, run.dir.path("away"));
    if (name != kManifestName) {
      EXPECT_NE(refusal(run.newer, Check::read).find(path), std::string::npos) << name;
    }
    EXPECT_EQ(run.saves.newest_step(run.dir.path()), 1) << name;
    files::rename(run.dir.path("away"), path);
    ++cases;
  }
  EXPECT_EQ(run.saves.newest_step(run.dir.path()), 2);
  std::printf("  %d shards swapped, taken from another step or missing, all refused\n", cases);
}

TEST(Damage, AllOfItIsListed) {
  TwoSteps run(1000);
  const std::vector<std::string> names = names_in(run.newer);
  EXPECT_TRUE(damage_of(run.newer, nullptr).empty());
  const std::string shard = run.newer + "/optimizer-rank-1.safetensors";
  testing::flip_bit(shard, 8 * 100);
  testing::flip_bit(shard, 8 * (3 * kBlockBytes + 5));
  testing::flip_bit(shard, 8 * (4 * kBlockBytes + 5));
  files::remove(run.newer + "/trainer.json");
  files::copy(run.older + "/optimizer-rank-0.safetensors", run.newer + "/optimizer-rank-7.safetensors");
  files::copy_file(run.older + "/model-00001-of-00003.safetensors", run.newer + "/model-00001-of-00003.safetensors",
                   files::copy_options::overwrite_existing);
  ThreadPool pool(2);
  const std::vector<std::string> found = damage_of(run.newer, &pool);
  const std::string expected[] = {"model-00001-of-00003.safetensors: bytes 0 to ",
                                  "optimizer-rank-1.safetensors: bytes 0 to 1048576 (tensor",
                                  "optimizer-rank-1.safetensors: bytes 3145728 to 5242880 (tensor",
                                  "trainer.json: No such file or directory; the manifest lists it",
                                  "optimizer-rank-7.safetensors: the manifest does not list it"};
  for (const std::string& text : expected)
    EXPECT_EQ(
        std::count_if(found.begin(), found.end(), [&](const auto& f) { return f.find(text) != std::string::npos; }), 1)
        << text;
  EXPECT_EQ(found.size(), std::size(expected)) << found[0];
  const auto foreign =
      std::find_if(found.begin(), found.end(), [](const auto& f) { return f.find("model-") != f.npos; });
  EXPECT_NE(foreign->find("another checkpoint's file"), std::string::npos) << *foreign;
}

}  // namespace
}  // namespace trireme
