#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "app/run.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/indexed.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::Outcome;
using testing::run;

class DataCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string csv = "id,text1\n", text;
    for (int i = 0; i < 40; ++i) {
      const std::string poem = cat("《春眠", i, "》\n春眠不覺曉，處處聞啼鳥。\n夜來風雨聲，花落知多少。");
      csv += cat(i, ",\"", poem, "\"\n");
      text += poem + "\n%\n";
    }
    write_file(csv_, csv);
    write_file(text_, text);
    const Outcome trained =
        run({"tokenizer", "train", "--vocab-size", "300", "--column", "text1", "--out", folder_, csv_});
    ASSERT_EQ(trained.code, 0) << trained.err;
  }

  /// A recipe that has only a text to begin with.
  std::string recipe(const std::string& more = "") {
    write_file(dir_.path("r.yaml"), cat("model: gpt2-124m\nrun:\n  dir: ", dir_.path("run"),
                                        "\ntokenizer:\n  vocab_size: 290\ndata:\n  source: ", text_,
                                        "\n  document_separator: \"%\"\n  sequence_length: 32\n", more));
    return dir_.path("r.yaml");
  }

  testing::TempDir dir_;
  const std::string csv_ = dir_.path("a.csv"), text_ = dir_.path("a.txt"), folder_ = dir_.path("tok");
  const std::string prefix_ = dir_.path("out/poems");
};

TEST_F(DataCommands, PrepareWritesEveryDocumentWithItsEnd) {
  const Outcome done = run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_});
  ASSERT_EQ(done.code, 0) << done.err;
  const IndexedDataset data(prefix_);
  ASSERT_EQ(data.num_documents(), 40);
  std::vector<int32_t> ids(static_cast<size_t>(data.document_length(7)));
  data.read_document(ids, 7, 0);
  EXPECT_EQ(Tokenizer::load(folder_).decode(ids),
            "《春眠7》\n春眠不覺曉，處處聞啼鳥。\n夜來風雨聲，花落知多少。<|endoftext|>");
}

TEST_F(DataCommands, PrepareHeedsItsOptions) {
  const auto tokens = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"prepare", "--tokenizer", folder_, "--out", prefix_};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome done = run(words);
    EXPECT_EQ(done.code, 0) << done.err;
    return IndexedDataset(prefix_).num_tokens();
  };
  const int64_t with_ends = tokens({"--document-separator", "%", text_});
  EXPECT_EQ(IndexedDataset(prefix_).num_documents(), 40);
  EXPECT_EQ(tokens({"--document-separator", "%", "--no-eos", text_}), with_ends - 40);
  tokens({text_});
  EXPECT_EQ(IndexedDataset(prefix_).num_documents(), 1);
}

TEST_F(DataCommands, PrepareNamesWhatIsWrong) {
  const Outcome column = run({"prepare", "--tokenizer", folder_, "--column", "text2", "--out", prefix_, csv_});
  EXPECT_NE(column.code, 0);
  EXPECT_NE(column.err.find("text2"), std::string::npos) << column.err;
  const Outcome file = run({"prepare", "--tokenizer", folder_, "--out", prefix_, dir_.path("none.txt")});
  EXPECT_EQ(file.code, 1);
  EXPECT_NE(file.err.find("none.txt"), std::string::npos) << file.err;
  EXPECT_FALSE(std::filesystem::exists(prefix_ + ".idx"));
  EXPECT_EQ(run({"prepare", "--tokenizer", folder_, csv_}).code, 2);
}

TEST_F(DataCommands, SamplesMakeWhatIsMissingAndShowTheOrderOfTraining) {
  const Outcome some = run({"data", "samples", recipe(), "--count", "2", "--json"});
  ASSERT_EQ(some.code, 0) << some.err;
  const std::vector<std::string> rows = split(trim(some.out), '\n');
  ASSERT_EQ(rows.size(), 2U);
  const Json second = Json::parse(rows[1], "row");
  EXPECT_EQ(second.at("sample").as_integer(), 1);
  EXPECT_EQ(second.at("ids").size(), 33U);
  EXPECT_TRUE(std::filesystem::exists(dir_.path("run/tokenizer/vocab.json")));
  EXPECT_TRUE(std::filesystem::exists(dir_.path("run/data/tokens.idx")));
  const Outcome again = run({"data", "samples", recipe(), "--first", "1", "--count", "1", "--json"});
  EXPECT_EQ(trim(again.out), rows[1]);
  EXPECT_EQ(again.err.find("learnt"), std::string::npos) << again.err;
  EXPECT_NE(run({"data", "samples", recipe(), "data.seed=2", "--count", "2", "--json"}).out, some.out);
  EXPECT_EQ(run({"data", "samples", recipe(), "--first", "-1"}).code, 2);
}

TEST_F(DataCommands, SamplesOfTokenFilesAreLinesOfIds) {
  ASSERT_EQ(run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_}).code, 0);
  const auto lines = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"data", "samples", prefix_, "--sequence-length", "16", "--num-samples", "50"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome done = run(words);
    EXPECT_EQ(done.code, 0) << done.err;
    return split(trim(done.out), '\n');
  };
  std::set<std::vector<std::string>> outcomes;
  for (const char* order : {"trireme", "megatron", "megatron-v1.1.5", "paddle"}) {
    const std::vector<std::string> all = lines({"--order", order});
    ASSERT_EQ(all.size(), 50U) << order;
    for (const std::string& line : all) EXPECT_EQ(split(line, ' ').size(), 17U);
    EXPECT_EQ(lines({"--order", order, "--first", "7", "--count", "1"}), std::vector<std::string>{all[7]});
    outcomes.insert(all);
  }
  const std::vector<std::string> base = lines({"--order", "megatron"});
  for (const std::vector<std::string>& change :
       {std::vector<std::string>{"--seed", "7"}, {"--split", "1/1/0"}, {"--part", "validation", "--split", "1,1"}}) {
    std::vector<std::string> words = {"--order", "megatron"};
    words.insert(words.end(), change.begin(), change.end());
    EXPECT_NE(lines(words), base);
  }
  EXPECT_EQ(Json::parse(lines({"--json", "--first", "49"})[0], "row").at("ids").size(), 17U);
  EXPECT_GE(outcomes.size(), 3U);
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--order", "megatronn"}, {"--part", "dev"}, {"--split", "1,x"}, {"--first", "51"}}) {
    std::vector<std::string> words = {"data", "samples", prefix_, "--sequence-length", "16", "--num-samples", "50"};
    words.insert(words.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(run(words).code, 2) << wrong[0];
  }
  EXPECT_EQ(run({"data", "samples", prefix_}).code, 2);
  EXPECT_EQ(run({"data", "samples", recipe(), "--seed", "3"}).code, 2);
}

TEST_F(DataCommands, InfoAndMergeSpeakOfWhatIsThere) {
  ASSERT_EQ(run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_}).code, 0);
  const std::string twice = dir_.path("twice");
  const Outcome merged = run({"data", "merge", twice, prefix_, prefix_});
  ASSERT_EQ(merged.code, 0) << merged.err;
  const Json one = Json::parse(run({"data", "info", prefix_, "--json"}).out, "info");
  const Json two = Json::parse(run({"data", "info", twice, "--json"}).out, "info");
  EXPECT_EQ(one.at("documents").as_integer(), 40);
  EXPECT_EQ(two.at("documents").as_integer(), 80);
  EXPECT_EQ(two.at("tokens").as_integer(), 2 * one.at("tokens").as_integer());
  EXPECT_EQ(two.at("tokenizer").as_string(), one.at("tokenizer").as_string());
  EXPECT_EQ(one.at("type").as_string(), "uint16");
  EXPECT_NE(run({"data", "info", prefix_}).out.find("format: Megatron-LM (MMIDIDX)\n"), std::string::npos);
  EXPECT_EQ(run({"data", "merge", twice}).code, 2);
  EXPECT_EQ(run({"data", "info", dir_.path("none")}).code, 1);

  const auto samples = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"data", "samples"});
    words.insert(words.end(), {"--sequence-length", "8", "--num-samples", "40"});
    const Outcome done = run(words);
    EXPECT_EQ(done.code, 0) << done.err;
    return done.out;
  };
  EXPECT_NE(samples({prefix_ + ":0.9", twice + ":0.1"}), samples({prefix_ + ":0.1", twice + ":0.9"}));
  EXPECT_EQ(samples({prefix_ + ":3"}), samples({prefix_}));
}

TEST_F(DataCommands, ABlendOfARecipeTakesItsSetsByWeight) {
  ASSERT_EQ(run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_}).code, 0);
  const std::string other = dir_.path("other");
  ASSERT_EQ(
      run({"prepare", "--tokenizer", folder_, "--document-separator", "%", "--no-eos", "--out", other, text_}).code, 0);
  const auto samples = [&](const std::string& blend) {
    return run({"data", "samples", recipe(), "tokenizer.path=" + folder_, "data.source=", "data.blend=" + blend,
                "--count", "40", "--json"});
  };
  const Outcome both = samples(cat("[", prefix_, ":3, ", other, ":1]"));
  ASSERT_EQ(both.code, 0) << both.err;
  EXPECT_NE(both.out, samples(cat("[", prefix_, "]")).out);
  const auto count = [](const std::string& text) {  // only the first set has ends of documents
    int64_t found = 0;
    for (size_t at = 0; (at = text.find("endoftext", at)) != std::string::npos; ++at) ++found;
    return found;
  };
  EXPECT_GT(count(both.out), 0);
  EXPECT_GT(count(both.out), count(samples(cat("[", prefix_, ":1, ", other, ":3]")).out));
  EXPECT_EQ(samples(cat("[", dir_.path("none"), "]")).code, 2);
  EXPECT_EQ(samples(cat("[", prefix_, ":0]")).code, 2);
  EXPECT_EQ(samples("5").code, 2);
}

TEST_F(DataCommands, ARunOfABlendGoesOnOnlyWithTheSameBlend) {
  const std::string other = dir_.path("other");
  ASSERT_EQ(run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_}).code, 0);
  ASSERT_EQ(
      run({"prepare", "--tokenizer", folder_, "--document-separator", "%", "--no-eos", "--out", other, text_}).code, 0);
  const auto train = [&](const std::string& blend, int steps, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"train",
                                      recipe("train:\n  threads: 1\neval:\n  every: 2\nlog:\n  progress: false\n"),
                                      "tokenizer.path=" + folder_,
                                      "data.source=",
                                      "data.blend=" + blend,
                                      "model={model_type: gpt2, n_embd: 16, n_layer: 1, n_head: 2, n_positions: 32}",
                                      "data.micro_batch_size=2",
                                      "data.split=[8, 2, 0]",
                                      cat("train.max_steps=", steps)};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  const std::string blend = cat("[", prefix_, ":3, ", other, ":1]");
  const Outcome begun = train(blend, 2);
  ASSERT_EQ(begun.code, 0) << begun.err;
  EXPECT_NE(read_file(dir_.path("run/metrics.jsonl")).find("eval_loss"), std::string::npos);
  EXPECT_EQ(train(blend, 4).code, 0);
  EXPECT_EQ(train(cat("[", prefix_, ":1, ", other, ":3]"), 6).code, 2);
  EXPECT_EQ(train(cat("[", other, ":3, ", prefix_, ":1]"), 6).code, 2);
  const Outcome both = train(blend, 6, {"data.prefix=" + prefix_});
  EXPECT_EQ(both.code, 2);
  EXPECT_NE(both.err.find("data.blend"), std::string::npos) << both.err;
}

TEST_F(DataCommands, TokenFilesOfAnotherTokenizerAreRefused) {
  ASSERT_EQ(run({"prepare", "--tokenizer", folder_, "--column", "text1", "--out", prefix_, csv_}).code, 0);
  const Outcome other = run({"data", "samples", recipe(), "data.prefix=" + prefix_});
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("tokenizer"), std::string::npos) << other.err;
}

TEST_F(DataCommands, WithoutTextATokenizerCannotBeMade) {
  const Outcome done = run({"data", "samples", recipe(), "data.source="});
  EXPECT_EQ(done.code, 2);
  EXPECT_NE(done.err.find("data.source"), std::string::npos) << done.err;
}

}  // namespace
}  // namespace trireme
