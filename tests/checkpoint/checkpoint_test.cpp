#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/load.h"
#include "checkpoint/sample.h"
#include "checkpoint/state_hash.h"

namespace trireme {
namespace {

using testing::io_error;
using testing::SampleState;
using testing::TempDir;

TEST(Checkpoint, ComesBackAsItWas) {
  const TempDir dir;
  testing::overwrite(dir.path("vocab.json"), "{\"a\":0}");
  SampleState state(1200);
  CheckpointContent content = state.content();
  std::filesystem::create_directory(dir.path("inner"));
  testing::overwrite(dir.path("inner/a.jinja"), "x");
  content.files = {{dir.path(), "vocab.json"}, {dir.path(), "inner/a.jinja"}};
  const SavedCheckpoint saved = save_checkpoint(dir.path("run"), 1200, content, real_file_system(), nullptr);
  EXPECT_NE(saved.path.find("/checkpoints/step-000001200-"), std::string::npos);
  EXPECT_EQ(read_file(saved.path + "/vocab.json"), "{\"a\":0}");
  EXPECT_EQ(read_file(saved.path + "/inner/a.jinja"), "x");
  EXPECT_EQ(testing::newest_step(dir.path("run")), 1200);

  const Checkpoint read(saved.path, nullptr);
  EXPECT_EQ(read.config().at("model_type").as_string(), "gpt2");
  EXPECT_EQ(read.manifest().info.at("tokens").as_integer(), 120'000);
  EXPECT_EQ(read.manifest().state_hash, saved.state_hash);
  EXPECT_EQ(verify_checkpoint(saved.path, nullptr).step, 1200);
  EXPECT_NE(io_error([&] { read.weight("model.z"); }).find("model.z is missing"), std::string::npos);
  EXPECT_NE(io_error([&] { read.optimizer("z"); }).find(saved.path), std::string::npos);
}

TEST(Checkpoint, EqualStatesHaveEqualHashesAndFiles) {
  const TempDir dir;
  ThreadPool pool(3);
  SampleState state(5, 300'000);  // several blocks and chunks
  const SavedCheckpoint a = save_checkpoint(dir.path("a"), 5, state.content(), real_file_system(), nullptr);
  const SavedCheckpoint b = save_checkpoint(dir.path("b"), 5, state.content(), real_file_system(), &pool);
  EXPECT_EQ(a.state_hash, b.state_hash);
  EXPECT_EQ(read_file(a.path + "/manifest.json"), read_file(b.path + "/manifest.json"));
  EXPECT_EQ(read_file(a.path + "/optimizer.safetensors"), read_file(b.path + "/optimizer.safetensors"));
  EXPECT_EQ(verify_checkpoint(a.path, &pool).state_hash, a.state_hash);
}

TEST(Checkpoint, HashCoversWeightsOptimizerAndTrainerState) {
  const TempDir dir;
  const auto hash = [&](auto change) {
    SampleState state;
    change(state);
    CheckpointContent content = state.content();
    return save_checkpoint(dir.path("run"), 1, content, real_file_system(), nullptr).state_hash;
  };
  const Hash128 same = hash([](SampleState&) {});
  EXPECT_EQ(hash([](SampleState&) {}), same);
  EXPECT_FALSE(hash([](SampleState& s) { s.matrix[3] = std::nextafter(s.matrix[3], 9.0F); }) == same);
  EXPECT_FALSE(hash([](SampleState& s) { s.vector[0] ^= 0x8000; }) == same);  // +0 and -0
  EXPECT_FALSE(hash([](SampleState& s) { std::swap(s.moment[0], s.moment[1]); }) == same);
  EXPECT_FALSE(hash([](SampleState& s) { s.step = 8; }) == same);
}

TEST(Checkpoint, OptimizerStateMayBeSavedInBoxes) {
  const TempDir dir;
  SampleState state;
  CheckpointContent whole = state.content(), cut = state.content();
  const Tensor moment = state.moment_view();
  cut.optimizer = {named_box("a.weight.exp_avg", moment.slice(0, 2, 5), moment.shape, {2, 3, 0, 3}),
                   named_box("a.weight.exp_avg", moment.slice(0, 0, 2).slice(1, 1, 3), moment.shape, {0, 2, 1, 2}),
                   named_box("a.weight.exp_avg", moment.slice(0, 0, 2).slice(1, 0, 1), moment.shape, {0, 2, 0, 1})};
  const SavedCheckpoint a = save_checkpoint(dir.path("whole"), 7, whole, real_file_system(), nullptr);
  const SavedCheckpoint b = save_checkpoint(dir.path("cut"), 7, cut, real_file_system(), nullptr);
  EXPECT_EQ(a.state_hash, b.state_hash);
  EXPECT_EQ(verify_checkpoint(b.path, nullptr).state_hash, a.state_hash);
  EXPECT_EQ(testing::newest_step(dir.path("cut")), 7);
}

TEST(Checkpoint, NanAndInfAreNeverSaved) {
  const TempDir dir;
  testing::save_sample(dir.path(), 1);
  SampleState nan(2), inf(3);
  nan.matrix[4] = std::numeric_limits<float>::quiet_NaN();
  inf.vector[2] = 0x7F80;
  try {
    save_checkpoint(dir.path(), 2, nan.content(), real_file_system(), nullptr);
    FAIL();
  } catch (const NumericError& e) {
    EXPECT_NE(std::string(e.what()).find("model.a.weight has a NaN or Inf in row 1, column 1"), std::string::npos)
        << e.what();
  }
  EXPECT_THROW(save_checkpoint(dir.path(), 3, inf.content(), real_file_system(), nullptr), NumericError);
  EXPECT_EQ(testing::newest_step(dir.path()), 1);
  EXPECT_EQ(list_checkpoints(dir.path()).size(), 1U);
}

/// Every file of a checkpoint folder.
std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, EveryFlippedBitIsFoundAndNamed) {
  const TempDir dir;
  const SavedCheckpoint saved = testing::save_sample(dir.path(), 7);
  ASSERT_EQ(files_of(saved.path).size(), 5U);
  for (const std::string& path : files_of(saved.path)) {
    for (size_t bit = 0; bit < std::filesystem::file_size(path) * 8; bit += 3) {  // each byte two or three times
      testing::flip_bit(path, bit);
      const std::string message = io_error([&] { Checkpoint(saved.path, nullptr); });
      ASSERT_NE(message.find(path), std::string::npos) << path << " bit " << bit << ": " << message;
      testing::flip_bit(path, bit);
    }
  }
  EXPECT_EQ(io_error([&] { Checkpoint(saved.path, nullptr); }), "");
}

TEST(Checkpoint, DamageIsLocatedByBlockAndTensor) {
  const TempDir dir;
  SampleState state(7, 500'000);
  const SavedCheckpoint saved = save_checkpoint(dir.path(), 7, state.content(), real_file_system(), nullptr);
  const std::string path = saved.path + "/optimizer.safetensors";
  std::string bytes = read_file(path);
  bytes.replace(3'500'000, 4096, 4096, '\0');  // a zeroed page
  testing::overwrite(path, bytes);
  ThreadPool pool(2);
  const std::string message = io_error([&] { Checkpoint(saved.path, &pool); });
  EXPECT_NE(message.find(path + ": bytes 3145728 to 4194304 (tensor a.weight.exp_avg) are damaged: expected XXH3 "),
            std::string::npos)
      << message;
}

TEST(Checkpoint, CutLengthenedMissingAndForeignFilesAreRefused) {
  const TempDir dir;
  const SavedCheckpoint saved = testing::save_sample(dir.path("run"), 7);
  const SavedCheckpoint other = testing::save_sample(dir.path("run"), 8);
  for (const std::string& path : files_of(saved.path)) {
    const std::string whole = read_file(path);
    const auto refusal = [&] { return io_error([&] { Checkpoint(saved.path, nullptr); }); };
    for (const size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 1}) {
      testing::overwrite(path, whole.substr(0, size));
      ASSERT_NE(refusal().find(path), std::string::npos) << path << " cut to " << size;
    }
    testing::overwrite(path, whole + '\0');
    ASSERT_NE(refusal().find(path), std::string::npos);
    std::filesystem::remove(path);
    ASSERT_NE(refusal().find(path), std::string::npos);
    const std::string foreign = read_file(other.path + "/" + std::filesystem::path(path).filename().string());
    if (foreign != whole) {
      testing::overwrite(path, foreign);  // from another step
      ASSERT_NE(refusal(), "") << path;
    }
    testing::overwrite(path, whole);
    ASSERT_EQ(refusal(), "");
  }
}

TEST(Checkpoint, SurvivesACopyElsewhere) {
  const TempDir dir;
  const SavedCheckpoint saved = testing::save_sample(dir.path("run"), 7);
  std::filesystem::copy(saved.path, dir.path("copy"));
  EXPECT_EQ(verify_checkpoint(dir.path("copy"), nullptr).state_hash, saved.state_hash);
}

TEST(Checkpoint, AFullDiskIsFoundOutBeforeAnythingIsWritten) {
  class FullDisk : public FileSystem {
   public:
    int create(const std::string&) override { return touched(); }
    int open_partial(const std::string&) override { return touched(); }
    void truncate(int, uint64_t, const std::string&) override { touched(); }
    void write(int, std::span<const std::byte>, const std::string&) override { touched(); }
    void sync(int, const std::string&) override { touched(); }
    void close(int, const std::string&) override { touched(); }
    void rename(const std::string&, const std::string&) override { touched(); }
    void make_directory(const std::string&) override { touched(); }
    void sync_directory(const std::string&) override { touched(); }
    void remove(const std::string&) override { touched(); }
    void require_space(const std::string&, uint64_t bytes) override { throw IoError(cat("needs ", bytes)); }

   private:
    static int touched() { throw std::logic_error("the disk was written to"); }
  } disk;
  const TempDir dir;
  EXPECT_NE(io_error([&] { testing::save_sample(dir.path("run"), 1, disk); }).find("needs "), std::string::npos);
}

}  // namespace
}  // namespace trireme
