// A tokenizer of every kind from text to a model that writes: prepare, two steps of training, generate; and a
// checkpoint that carries all of its files, so that the model can be used without the folder.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temp_dir.h"
#include "system/tiny_run.h"
#include "tokenizer/folder.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

const std::string kGolden = TRIREME_SOURCE_DIR "/tests/golden/tokenizer/";

class TokenizerKinds : public ::testing::Test {
 protected:
  /// Runs everything with the tokenizer at `path`.
  void go(const std::string& path) {
    const std::string recipe = testing::write_tiny_recipe(dir_.path()), prefix = dir_.path("tokens");
    const testing::Outcome prepared = testing::run({"prepare", "--tokenizer", path, "--no-eos", "--document-separator",
                                                    "%", "--out", prefix, dir_.path("text.txt")});
    ASSERT_EQ(prepared.code, 0) << prepared.err;
    testing::Child train({"train", recipe, "tokenizer.path=" + path, "data.prefix=" + prefix, "data.append_eos=false",
                          "train.max_steps=2", "eval.every=2", "checkpoint.every=2"});
    ASSERT_EQ(train.wait(), 0) << train.err();
    const testing::Outcome written = testing::run(
        {"generate", dir_.path("run"), "--prompt", "the sea", "--json", "--max-new-tokens", "5", "--ignore-eos"});
    ASSERT_EQ(written.code, 0) << written.err;
    EXPECT_EQ(Json::parse(written.out, "row").at("tokens").as_integer(), 5);

    const auto newest = newest_valid(
        dir_.path("run"), [](const std::string&, const std::string&) {}, nullptr);
    ASSERT_TRUE(newest.has_value());
    const TokenizerPlace place = find_tokenizer(path);
    for (const std::string& name : tokenizer_files(place)) {
      EXPECT_EQ(read_file(newest->path() + "/" + name), read_file(place.folder + "/" + name)) << name;
    }
    EXPECT_EQ(Tokenizer::load(newest->path()).fingerprint(), Tokenizer::load(path).fingerprint());
  }

  testing::TempDir dir_;
};

TEST_F(TokenizerKinds, ATokenizerJsonGoesFromTextToSamplesWithItsChatTemplates) {
  const std::string folder = dir_.path("model");
  std::filesystem::create_directories(folder + "/additional_chat_templates");
  const Json golden = read_json(kGolden + "unigram.json");
  write_file(folder + "/tokenizer.json", golden.at("tokenizers").items()[0].at("tokenizer").dump());
  write_file(folder + "/tokenizer_config.json", R"({"eos_token": "</s>"})");
  write_file(folder + "/chat_template.jinja", "{{ messages }}");
  write_file(folder + "/additional_chat_templates/tool_use.jinja", "{{ tools }}");
  ASSERT_EQ(tokenizer_files(find_tokenizer(folder)).size(), 4U);
  go(folder);
}

TEST_F(TokenizerKinds, ASentencePieceModelGoesFromTextToSamples) { go(kGolden + "sentencepiece/unigram_suffix"); }
TEST_F(TokenizerKinds, ARankFileGoesFromTextToSamples) { go(kGolden + "ranks/own"); }
TEST_F(TokenizerKinds, ARankFileAmongOthersIsNamed) { go(kGolden + "ranks/tokenizer.model"); }
TEST_F(TokenizerKinds, JiebasWordsGoFromTextToSamples) { go(kGolden + "jieba"); }
TEST_F(TokenizerKinds, ACpmVocabularyGoesFromTextToSamples) { go(kGolden + "cpm/nine_g"); }

}  // namespace
}  // namespace trireme
