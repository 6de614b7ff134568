// jieba's words compared with the package's, and what is refused.
#include "tokenizer/jieba.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/temp_dir.h"
#include "tokenizer/encoder.h"
#include "tokenizer/golden_kind.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::golden_path;
using testing::random_bytes;
using testing::TempDir;

std::string jieba_file(const std::string& name) { return read_file(golden_path(cat("jieba/", name))); }

JiebaModel small_model() {
  return JiebaModel(jieba_file("prob_start.py"), jieba_file("prob_trans.py"), jieba_file("prob_emit.py"), "jieba");
}

Jieba small_jieba() { return Jieba(jieba_file("dict.txt"), "dict.txt", small_model()); }

std::vector<std::string> words_of(const Jieba& jieba, std::string_view text, Jieba::Scratch& scratch) {
  std::vector<std::string_view> words;
  jieba.cut(words, text, scratch);
  return {words.begin(), words.end()};
}

TEST(Jieba, CutsAsThePackageDoes) {
  const Jieba jieba = small_jieba();
  Jieba::Scratch scratch;
  const Json cases = read_json(golden_path("jieba/cases.json"));
  ASSERT_GT(cases.size(), 70U);
  for (const Json& entry : cases.items()) {
    std::vector<std::string> expected;
    for (const Json& word : entry.at("words").items()) expected.push_back(word.as_string());
    EXPECT_EQ(words_of(jieba, entry.at("text").as_string(), scratch), expected) << entry.at("text").as_string();
  }
}

TEST(JiebaBpe, GivesTheIdsOfTheOriginal) {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("jieba"));
  EXPECT_EQ(tokenizer.encode("<|endoftext|>", true), (std::vector<int32_t>{7}));
  Encoder encoder(tokenizer);
  const Json cases = read_json(golden_path("jieba/cases.json"));
  for (const Json& entry : cases.items()) {
    const std::string& text = entry.at("text").as_string();
    const testing::Ids expected = testing::ids_of(entry.at("ids"));
    testing::Ids ids;
    encoder.encode(ids, text);
    EXPECT_EQ(ids, expected) << text;
    EXPECT_EQ(tokenizer.decode(ids), entry.at("decoded").as_string()) << text;
    EXPECT_EQ(testing::streamed(tokenizer, ids), tokenizer.decode(ids)) << text;
  }
}

TEST(JiebaBpe, IsSavedAsItWasRead) {
  TempDir folder;
  const Tokenizer tokenizer = Tokenizer::load(golden_path("jieba"));
  tokenizer.save(folder.path());
  EXPECT_EQ(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  write_file(folder.path("dict.txt"), "a 1\n");
  EXPECT_NE(Tokenizer::load(folder.path()).fingerprint(), tokenizer.fingerprint());
  std::filesystem::remove(folder.path("prob_trans.py"));
  EXPECT_THROW(Tokenizer::load(folder.path()), IoError);
}

TEST(Jieba, KeepsEveryByte) {
  const Jieba jieba = small_jieba();
  Jieba::Scratch scratch;
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_bytes(random, random() % 50);
    std::string joined;
    for (const std::string& word : words_of(jieba, text, scratch)) joined += word;
    EXPECT_EQ(joined, text);
  }
}

TEST(Jieba, TakesTimeInProportionToARunWithoutBreaks) {
  const Jieba jieba = small_jieba();
  Jieba::Scratch scratch;
  const auto seconds = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += i % 2 == 0 ? "夜" : "雨";  // not in the dictionary: one path of the model
    const std::clock_t begin = std::clock();                           // of the processor: other work does not count
    EXPECT_FALSE(words_of(jieba, text, scratch).empty());
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  EXPECT_LT(seconds(400'000), 100 * std::max(seconds(25'000), 3e-3));  // quadratic: 256 times
}

TEST(Jieba, NamesTheLineOfABadDictionary) {
  const auto error = [](const std::string& dictionary) -> std::string {
    try {
      Jieba(dictionary, "dict.txt", small_model());
    } catch (const IoError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error("a 1\nb 2 n\n"), "");
  const std::string expected = ": expected a word and its frequency with one space between them, found '";
  EXPECT_EQ(error("a 1\nb\n"), "dict.txt: line 2" + expected + "b'");
  EXPECT_EQ(error("a 1\n\nb 1\n"), "dict.txt: line 2" + expected + "'");
  EXPECT_EQ(error("a -1\n"), "dict.txt: line 1" + expected + "a -1'");
  EXPECT_EQ(error("a  1\n"), "dict.txt: line 1" + expected + "a  1'");
  EXPECT_NE(error("\xFF 1\n").find("line 1"), std::string::npos);
  EXPECT_EQ(error("a 0\n"), "dict.txt: no word has a frequency");
  EXPECT_EQ(error("a 9223372036854775807\nb 1\n"), "dict.txt: line 2: the sum of frequencies overflows");
}

TEST(Jieba, RefusesTablesThatAreNone) {
  const std::string start = jieba_file("prob_start.py"), trans = jieba_file("prob_trans.py");
  const std::string emit = jieba_file("prob_emit.py");
  EXPECT_THROW(JiebaModel("", trans, emit, "f"), IoError);
  EXPECT_THROW(JiebaModel("P={'B': {}}", trans, emit, "f"), ConfigError);
  EXPECT_THROW(JiebaModel("P={'X': 1}", trans, emit, "f"), IoError);
  EXPECT_THROW(JiebaModel(start, trans, "P={'B': {'ab': -1.0}}", "f"), IoError);
  EXPECT_THROW(JiebaModel(start, trans, emit.substr(0, emit.size() / 2), "f"), IoError);
}

}  // namespace
}  // namespace trireme
