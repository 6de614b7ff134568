// `trireme generate` on a tiny model: what a script reads from it, and limits of its words.
#include <gtest/gtest.h>

#include "app/run.h"
#include "base/json.h"
#include "base/strings.h"
#include "infer/model_folder.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

using testing::run;

class GenerateCommand : public ::testing::Test {
 protected:
  GenerateCommand() {
    const ModelConfig config = ModelConfig::from_json(Json::parse(
        R"({"model_type":"gpt2","vocab_size":258,"n_embd":16,"n_layer":1,"n_head":2,"n_positions":32,
            "initializer_range":0.5})",
        "model"));
    folder = testing::write_model(dir.path(), config, testing::PlainModel(config, 2));
    testing::byte_tokenizer().save(folder);
  }
  testing::Outcome generate(const std::vector<std::string>& more) {
    std::vector<std::string> words{"generate", folder, "--max-new-tokens", "9", "--ignore-eos"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }

  testing::TempDir dir;
  std::string folder;
};

TEST_F(GenerateCommand, PrintsARowForEverySample) {
  const testing::Outcome outcome = generate({"--prompt", "a", "--prompt", "b", "--num-samples", "3", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<std::string> rows = split(trim(outcome.out), '\n');
  ASSERT_EQ(rows.size(), 6U);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Json row = Json::parse(rows[i], "row");
    EXPECT_EQ(row.at("prompt").as_string(), i < 3 ? "a" : "b");
    EXPECT_EQ(row.at("ids").size(), 9U);
    EXPECT_EQ(row.at("tokens").as_integer(), 9);
    EXPECT_EQ(row.at("finish_reason").as_string(), "length");
  }
  EXPECT_NE(rows[0], rows[1]);
  EXPECT_EQ(generate({"--prompt", "a", "--prompt", "b", "--num-samples", "3", "--json", "--threads", "1"}).out,
            outcome.out);
  EXPECT_NE(generate({"--prompt", "a", "--prompt", "b", "--num-samples", "3", "--json", "--seed", "2"}).out,
            outcome.out);
}

TEST_F(GenerateCommand, CountsOutsideTheirRangesAreRefused) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"--num-samples", "0"},
                                                                                     {"--num-samples", "10001"},
                                                                                     {"--threads", "-1"},
                                                                                     {"--threads", "4294967297"},
                                                                                     {"--seed", "-1"}}) {
    const testing::Outcome outcome = generate(words);
    EXPECT_EQ(outcome.code, 2) << words[0];
    EXPECT_NE(outcome.err.find(words[0]), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace trireme
