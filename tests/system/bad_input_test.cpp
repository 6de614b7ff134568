// What a user or a disk gets wrong: one message that says where, what was expected and what to do; the exit code tells
// whose turn it is (2: what was written, 1: what failed); nothing is lost and nothing is left half-written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/strings.h"
#include "data/indexed.h"
#include "device/cuda.h"
#include "system/tiny_run.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::Child;
using testing::Outcome;
using testing::run;

/// One message, with each of `parts` in it, and nothing on standard output but the resolved recipe.
void expect_failure(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  const size_t begin = outcome.err.rfind("trireme: ");
  ASSERT_NE(begin, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("trireme: "), begin) << "more than one message: " << outcome.err;
  const std::string message = outcome.err.substr(begin);
  EXPECT_EQ(message.find('\n'), message.size() - 1) << message;
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << " is not in: " << message;
}

/// Names of all files and folders under `folder`, with the bytes of the files: what must be as it was.
std::vector<std::string> contents(const std::string& folder) {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    all.push_back(entry.path().string() + (entry.is_regular_file() ? ": " + read_file(entry.path().string()) : ""));
  std::sort(all.begin(), all.end());
  return all;
}

class BadInput : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& bytes) const {
    write_file(dir_.path(name), bytes);
    return dir_.path(name);
  }
  /// The tiny recipe with these words, in this process.
  Outcome train(const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> words = {"train", recipe_};
    words.insert(words.end(), overrides.begin(), overrides.end());
    return run(words);
  }
  std::string make_tokenizer() const {
    const Outcome made =
        run({"tokenizer", "train", "--vocab-size", "280", "--out", dir_.path("tok"), dir_.path("text.txt")});
    EXPECT_EQ(made.code, 0) << made.err;
    return dir_.path("tok");
  }
  Outcome prepare(const std::string& source, const std::string& out = "out") const {
    return run(
        {"prepare", "--tokenizer", dir_.path("tok"), "--document-separator", "%", "--out", dir_.path(out), source});
  }
  /// A run with its checkpoint of step 7, and what `trireme verify` says of it.
  std::string train_until_first_checkpoint() const {
    Child child({"train", recipe_}, {.environment = {"TRIREME_FAILPOINT=train.step:kill:9"}});
    EXPECT_EQ(child.wait(), -SIGKILL) << child.err();
    const Outcome verify = run({"verify", run_});
    EXPECT_EQ(verify.out.find("step 7 state-hash"), 0u) << verify.out << verify.err;
    return verify.out;
  }

  testing::TempDir dir_;
  const std::string recipe_ = testing::write_tiny_recipe(dir_.path());
  const std::string run_ = dir_.path("run");
};

TEST_F(BadInput, AGpuThatIsNotThereIsNamedWithTheReason) {
  if (cuda_device_count() > 0) GTEST_SKIP() << "there is a GPU here";
  expect_failure(train({"device=cuda"}), 2, {recipe_, "device: cuda, but ", cuda_problem(), "set device: cpu"});
  make_tokenizer();
  EXPECT_EQ(train({"train.max_steps=1"}).code, 0);  // device: auto
  expect_failure(run({"generate", run_, "--device", "cuda"}), 2, {"--device cuda: ", "use --device cpu"});
  expect_failure(run({"generate", run_, "--device", "gpu"}), 2, {"--device is 'gpu'", "auto, cpu or cuda"});
}

TEST_F(BadInput, ADriverThatIsTooOldIsNamedAsSuch) {
#ifdef TRIREME_OLD_DRIVER
  const char* libraries = std::getenv("LD_LIBRARY_PATH");
  const std::vector<std::string> environment = {
      cat("LD_LIBRARY_PATH=" TRIREME_OLD_DRIVER, libraries == nullptr ? "" : cat(":", libraries))};
  Child child({"train", recipe_, "device=cuda"}, {.environment = environment});
  const int code = child.wait();
  expect_failure({code, child.out(), child.err()}, 2,
                 {"device: cuda, but the NVIDIA driver is too old: it is made for CUDA 11.4, this trireme needs ",
                  "install a newer driver"});
  Child on_cpu({"train", recipe_, "train.max_steps=1"}, {.environment = environment});
  EXPECT_EQ(on_cpu.wait(), 0) << on_cpu.err();
  EXPECT_NE(on_cpu.err().find("the NVIDIA driver is too old"), std::string::npos) << on_cpu.err();
#else
  GTEST_SKIP() << "built without CUDA";
#endif
}

TEST_F(BadInput, ALossThatIsNoNumberIsAnErrorOfEval) {
  ASSERT_EQ(train({"train.max_steps=1"}).code, 0);
  const std::string folder = dir_.path("model"), checkpoint = list_checkpoints(run_).at(0).path;
  std::filesystem::create_directory(folder);
  for (const char* name : {"config.json", "model.safetensors", "vocab.json", "merges.txt"})
    std::filesystem::copy_file(checkpoint + "/" + name, folder + "/" + name);
  const std::vector<std::string> eval = {"eval", folder, "--data", run_ + "/data/tokens", "--sequence-length", "16"};
  EXPECT_EQ(run(eval).code, 0) << run(eval).err;
  std::string weights = read_file(folder + "/model.safetensors");
  std::fill_n(weights.end() - 4, 4, '\xFF');
  write_file(folder + "/model.safetensors", weights);
  expect_failure(run(eval), 1, {folder, "the loss is not finite", "damaged"});
}

TEST_F(BadInput, AMisspeltKeyIsRefusedWithItsLineAndTheNearestKey) {
  expect_failure(run({"train", file("a.yaml", "model: gpt2-124m\noptimizer:\n  lrr: 1e-3\n")}), 2,
                 {dir_.path("a.yaml") + ":3", "optimizer.lrr", "optimizer.lr'"});
  expect_failure(run({"train", file("b.yaml", "model: gpt2-124m\noptimiser:\n  lr: 1e-3\n")}), 2,
                 {dir_.path("b.yaml") + ":2", "optimiser", "'optimizer"});
  expect_failure(run({"train", file("c.yaml", "model:\n  model_type: gpt2\n  n_embedd: 64\n")}), 2,
                 {dir_.path("c.yaml"), "n_embedd", "n_embd"});
  expect_failure(train({"trian.max_steps=5"}), 2, {"command line", "trian.max_steps", "train.max_steps"});
  EXPECT_FALSE(std::filesystem::exists(run_));
}

TEST_F(BadInput, ImpossibleValuesAreRefusedWithTheReason) {
  expect_failure(train({"schedule.min_lr=1"}), 2, {recipe_, "schedule.min_lr", "optimizer.lr", "0.03"});
  expect_failure(train({"model.n_head=3"}), 2, {recipe_, "n_head", "n_embd", "16", "3"});
  expect_failure(train({"data.global_batch_size=3"}), 2, {recipe_, "data.global_batch_size", "multiple"});
  expect_failure(train({"optimizer.lr=fast"}), 2, {"optimizer.lr", "fast"});
  EXPECT_FALSE(std::filesystem::exists(run_));
}

TEST_F(BadInput, MissingAndEmptyFilesAreNamed) {
  const std::string none = dir_.path("none.txt"), empty = file("empty.txt", "");
  expect_failure(run({"train", dir_.path("none.yaml")}), 1, {dir_.path("none.yaml"), "No such file"});
  expect_failure(run({"train", file("empty.yaml", "")}), 2, {dir_.path("empty.yaml")});
  expect_failure(train({"data.source=" + none}), 2, {none, "does not exist"});
  expect_failure(train({"data.source=" + empty}), 1, {empty, "empty"});
  EXPECT_FALSE(std::filesystem::exists(run_ + "/tokenizer"));
  make_tokenizer();
  expect_failure(prepare(none), 1, {none, "No such file"});
  expect_failure(prepare(empty), 1, {empty, "empty"});
  EXPECT_FALSE(std::filesystem::exists(dir_.path("out.idx")));
  EXPECT_FALSE(std::filesystem::exists(dir_.path("out.bin")));
}

TEST_F(BadInput, BytesThatAreNoUtf8ComeBackAsTheyWere) {
  make_tokenizer();
  std::string bytes = "oar \xC3( \xFF\xFE half \xE4\xBD";
  for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
  const std::string text = file("bytes.txt", bytes);
  const Outcome ids = run({"tokenizer", "encode", "--tokenizer", dir_.path("tok"), text});
  ASSERT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(std::count(ids.out.begin(), ids.out.end(), '\n'), 1);
  const Outcome back = run({"tokenizer", "decode", "--tokenizer", dir_.path("tok"), file("ids", ids.out)});
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_TRUE(back.out == bytes);

  ASSERT_EQ(prepare(text).code, 0);
  const IndexedDataset data(dir_.path("out"));
  std::vector<int32_t> document(static_cast<size_t>(data.document_length(0)));
  data.read_document(document, 0, 0);
  EXPECT_TRUE(Tokenizer::load(dir_.path("tok")).decode(document) == bytes + "<|endoftext|>");
}

TEST_F(BadInput, MalformedTextIsNamedWithItsLine) {
  make_tokenizer();
  expect_failure(prepare(file("a.jsonl", "{\"text\": \"oar\"}\n{\"txt\": \"oar\"}\n")), 1,
                 {dir_.path("a.jsonl") + ":2", "text"});
  expect_failure(prepare(file("b.jsonl", "{\"text\": \"oar\"}\n\n{\"text\": \"oar\n")), 1,
                 {dir_.path("b.jsonl") + ":3"});
  expect_failure(prepare(file("c.csv", "id,text\n1,oar\n2,\"old\n3,bank\n")), 1, {dir_.path("c.csv") + ":3", "quote"});
  expect_failure(prepare(file("d.csv", "id,text1\n1,oar\n")), 2, {dir_.path("d.csv"), "text1", "--column"});
  expect_failure(prepare(file("e.json", "[{\"text\": \"oar\"},\n {\"text\": 3}]\n")), 1,
                 {dir_.path("e.json") + ":2", "text"});
  for (const char* left : {"out.bin", "out.idx", "out.meta.json"})
    EXPECT_FALSE(std::filesystem::exists(dir_.path(left))) << left;
}

class BadTokenFiles : public BadInput {
 protected:
  void SetUp() override {
    make_tokenizer();
    ASSERT_EQ(prepare(dir_.path("text.txt")).code, 0);
  }
  Outcome train_on_files() const {
    return train({"data.prefix=" + prefix_, "data.source=\"\"", "tokenizer.path=" + dir_.path("tok")});
  }

  const std::string prefix_ = dir_.path("out");
};

TEST_F(BadTokenFiles, ATruncatedOrForeignIndexIsNamedWithTheByte) {
  const std::string idx = prefix_ + ".idx", whole = read_file(idx);
  write_file(idx, whole.substr(0, whole.size() - 3));
  expect_failure(train_on_files(), 1, {idx, "byte"});
  write_file(idx, whole.substr(0, 20));
  expect_failure(train_on_files(), 1, {idx, "byte"});
  write_file(idx, "PNG" + whole.substr(3));
  expect_failure(train_on_files(), 1, {idx, "byte 0"});
  write_file(idx, "");
  expect_failure(train_on_files(), 1, {idx});
  write_file(idx, whole);
  std::filesystem::resize_file(prefix_ + ".bin", std::filesystem::file_size(prefix_ + ".bin") / 2);
  expect_failure(train_on_files(), 1, {idx, "byte", prefix_ + ".bin"});
  EXPECT_TRUE(list_checkpoints(run_).empty());
}

TEST_F(BadTokenFiles, AnIdBeyondTheVocabularyIsNamedWithItsPlace) {
  std::string bytes = read_file(prefix_ + ".bin");
  for (size_t i = 0; i + 1 < bytes.size(); i += 200) bytes[i + 1] = '\x7F';  // u16: ids from 32,512 on
  write_file(prefix_ + ".bin", bytes);
  expect_failure(train_on_files(), 1, {prefix_ + ".bin", "byte", "document", "the vocabulary has 280"});
  EXPECT_TRUE(list_checkpoints(run_).empty());
}

TEST_F(BadTokenFiles, ATokenizerOfOtherFilesOrOfAnotherModelIsRefused) {
  const std::string other = dir_.path("other");
  ASSERT_EQ(run({"tokenizer", "train", "--vocab-size", "270", "--out", other, dir_.path("text.txt")}).code, 0);
  expect_failure(train({"data.prefix=" + prefix_, "data.source=\"\"", "tokenizer.path=" + other}), 2,
                 {prefix_, "tokenizer", "280", "270"});
  expect_failure(train({"data.prefix=" + prefix_, "data.source=\"\"", "tokenizer.path=" + dir_.path("tok"),
                        "model.vocab_size=279"}),
                 2, {"model.vocab_size", "279", "280"});

  const std::string verified = train_until_first_checkpoint();
  const std::string checkpoint = list_checkpoints(run_)[0].path, model = dir_.path("model");
  std::filesystem::copy(checkpoint, model);
  std::filesystem::copy(other, model,
                        std::filesystem::copy_options::overwrite_existing | std::filesystem::copy_options::recursive);
  expect_failure(run({"eval", model, "--data", prefix_}), 2, {prefix_, "tokenizer"});
  ASSERT_EQ(run({"tokenizer", "train", "--vocab-size", "290", "--out", model, dir_.path("text.txt")}).code, 0);
  expect_failure(run({"generate", model, "--prompt", "oar", "--max-new-tokens", "4"}), 2, {model, "290", "280"});
}

TEST_F(BadInput, AFullDiskWhilePreparingLeavesTheOldFilesAndNothingElse) {
  make_tokenizer();
  ASSERT_EQ(prepare(dir_.path("text.txt")).code, 0);
  const std::string large = file("large.txt", testing::tiny_text(20000));
  const std::vector<std::string> before = contents(dir_.path());
  Child child({"prepare", "--tokenizer", dir_.path("tok"), "--out", dir_.path("out"), large},
              {.file_size_limit = 200000});
  const int code = child.wait();
  expect_failure({code, child.out(), child.err()}, 1, {"write", dir_.path("out"), "File too large"});
  EXPECT_TRUE(contents(dir_.path()) == before);
}

TEST_F(BadInput, AFullDiskWhileTrainingKeepsTheEarlierCheckpoint) {
  const std::string verified = train_until_first_checkpoint();
  Child child({"train", recipe_}, {.file_size_limit = 40000});  // less than the weights, more than the logs
  const int code = child.wait();
  expect_failure({code, child.out(), child.err()}, 1,
                 {"write", run_ + "/checkpoints/step-000000021", "File too large"});
  EXPECT_NE(child.err().find("step 14: checkpoint not saved"), std::string::npos) << child.err();
  EXPECT_EQ(run({"verify", run_}).out, verified);
  // With room again, the run goes on and what the failed saves left is gone.
  testing::train_to_end(recipe_);
  for (const auto& entry : std::filesystem::directory_iterator(run_ + "/checkpoints"))
    EXPECT_TRUE(std::filesystem::exists(entry.path() / "manifest.json")) << entry.path();
}

TEST_F(BadInput, AFolderThatCannotBeWrittenIsNamed) {
  const std::string blocker = file("blocker", "");
  const std::vector<std::string> before = contents(dir_.path());
  expect_failure(train({"run.dir=" + blocker + "/run"}), 1, {blocker + "/run", "Not a directory"});
  expect_failure(train({"run.dir=/proc/trireme-test"}), 1, {"/proc/trireme-test"});
  expect_failure(run({"tokenizer", "train", "--out", blocker + "/tok", dir_.path("text.txt")}), 1, {blocker + "/tok"});
  EXPECT_TRUE(contents(dir_.path()) == before);
  make_tokenizer();
  expect_failure(
      run({"prepare", "--tokenizer", dir_.path("tok"), "--out", "/proc/trireme-test/out", dir_.path("text.txt")}), 1,
      {"/proc/trireme-test"});
}

TEST_F(BadInput, ADeviceIsNeverReplacedByAFile) {
  make_tokenizer();
  for (const char* name : {"out.bin", "out.idx"}) std::filesystem::create_symlink("/dev/null", dir_.path(name));
  expect_failure(prepare(dir_.path("text.txt")), 1, {dir_.path("out.bin"), "regular file"});
  EXPECT_TRUE(std::filesystem::is_symlink(dir_.path("out.bin")));
}

TEST_F(BadInput, AnExplodingRunStopsNamesTheTensorAndKeepsTheCheckpoint) {
  const std::string verified = train_until_first_checkpoint();
  expect_failure(train({"optimizer.lr=1e38", "train.spike_z_score=0", "schedule.min_lr=0"}), 1,
                 {"step 9", "forward", "NaN", "optimizer.lr"});
  EXPECT_EQ(run({"verify", run_}).out, verified);
  EXPECT_EQ(list_checkpoints(run_).size(), 1u);
}

TEST_F(BadInput, ARunOfAnotherModelOrDataOrderIsNotContinued) {
  const std::string verified = train_until_first_checkpoint();
  expect_failure(train({"model.n_layer=1"}), 2, {run_ + "/checkpoints/step-000000007", "another model", "run.dir"});
  expect_failure(train({"data.seed=5"}), 2, {run_ + "/checkpoints/step-000000007", "other data", "run.dir"});
  EXPECT_EQ(run({"verify", run_}).out, verified);
}

TEST_F(BadInput, ACheckpointThatIsDamagedFailsVerifyWithFileAndTensor) {
  train_until_first_checkpoint();
  const std::string file = list_checkpoints(run_)[0].path + "/optimizer.safetensors";
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] ^= 1;
  write_file(file, bytes);
  expect_failure(run({"verify", run_}), 1, {file, "exp_avg", "expected", "found"});
  expect_failure(run({"verify", dir_.path("nothing")}), 1, {dir_.path("nothing")});
}

}  // namespace
}  // namespace trireme
