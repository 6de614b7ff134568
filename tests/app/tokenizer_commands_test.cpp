#include <gtest/gtest.h>

#include <algorithm>

#include "app/run.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "support/temp_dir.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

using testing::Outcome;
using testing::run;

/// A trained tokenizer and a text that holds everything that is easily lost.
class TokenizerCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string corpus;
    for (int i = 0; i < 50; ++i) corpus += "春眠不覺曉，處處聞啼鳥。\nthe sea, the sea\n";
    write_file(corpus_, corpus);
    const Outcome trained = run({"tokenizer", "train", "--vocab-size", "280", "--out", folder_, corpus_});
    ASSERT_EQ(trained.code, 0) << trained.err;
    write_file(text_, std::string("春 the sea\r\n\0\xFF\xFE <|endoftext|>\n\n", 33));
  }

  testing::TempDir dir_;
  const std::string corpus_ = dir_.path("corpus.txt"), folder_ = dir_.path("tok"), text_ = dir_.path("text");
};

TEST_F(TokenizerCommands, TrainWritesAVocabularyOfTheSizeAskedFor) {
  EXPECT_EQ(Tokenizer::load(folder_).vocab_size(), 280);
}

TEST_F(TokenizerCommands, EncodePrintsOneLineThatDecodesToTheSameBytes) {
  const Outcome encoded = run({"tokenizer", "encode", "--tokenizer", folder_, text_});
  ASSERT_EQ(encoded.code, 0) << encoded.err;
  EXPECT_EQ(std::count(encoded.out.begin(), encoded.out.end(), '\n'), 1);
  write_file(dir_.path("ids"), encoded.out);
  const Outcome decoded = run({"tokenizer", "decode", "--tokenizer", folder_, dir_.path("ids")});
  ASSERT_EQ(decoded.code, 0) << decoded.err;
  EXPECT_EQ(decoded.out, read_file(text_));
}

TEST_F(TokenizerCommands, TextThatSpellsASpecialTokenStaysTextUnlessAsked) {
  const std::string eos = std::to_string(*Tokenizer::load(folder_).eos_id());
  const auto ids = [&](const std::vector<std::string>& words) { return split(trim(run(words).out), ' '); };
  const std::vector<std::string> plain = ids({"tokenizer", "encode", "--tokenizer", folder_, text_});
  const std::vector<std::string> special = ids({"tokenizer", "encode", "--special", "--tokenizer", folder_, text_});
  EXPECT_EQ(std::count(plain.begin(), plain.end(), eos), 0);
  EXPECT_EQ(std::count(special.begin(), special.end(), eos), 1);
}

TEST_F(TokenizerCommands, AnEmptyFileIsAnEmptyLine) {
  write_file(text_, "");
  EXPECT_EQ(run({"tokenizer", "encode", "--tokenizer", folder_, text_}).out, "\n");
  const Outcome decoded = run({"tokenizer", "decode", "--tokenizer", folder_, text_});
  EXPECT_EQ(decoded.code, 0);
  EXPECT_EQ(decoded.out, "");
}

TEST_F(TokenizerCommands, WhatIsNoTokenIdIsNamedWithItsPlace) {
  write_file(text_, "1 2\n3x");
  const Outcome word = run({"tokenizer", "decode", "--tokenizer", folder_, text_});
  EXPECT_EQ(word.code, 1);
  EXPECT_NE(word.err.find("text: byte 4: expected a token id, got '3x'"), std::string::npos) << word.err;
  write_file(text_, "1 300");
  const Outcome beyond = run({"tokenizer", "decode", "--tokenizer", folder_, text_});
  EXPECT_NE(beyond.code, 0);
  EXPECT_NE(beyond.err.find("300"), std::string::npos) << beyond.err;
}

TEST_F(TokenizerCommands, AMissingTokenizerOrTextIsNamed) {
  const Outcome tokenizer = run({"tokenizer", "encode", "--tokenizer", dir_.path("none"), text_});
  EXPECT_NE(tokenizer.code, 0);
  EXPECT_NE(tokenizer.err.find("none"), std::string::npos);
  const Outcome text = run({"tokenizer", "encode", "--tokenizer", folder_, dir_.path("no-text")});
  EXPECT_EQ(text.code, 1);
  EXPECT_NE(text.err.find("no-text"), std::string::npos);
  EXPECT_EQ(run({"tokenizer", "encode", text_}).code, 2);
}

}  // namespace
}  // namespace trireme
