#include "app/cli.h"

#include <gtest/gtest.h>

#include "app/run.h"
#include "app/version.h"
#include "base/error.h"
#include "base/file.h"

namespace trireme {
namespace {

/// One of each kind of word.
struct Words {
  bool flag = false;
  std::string text = "default", file;
  int64_t count = 7;
  double share = 0.5;
  std::vector<std::string> many, rest;
};

bool parse(Words& w, std::vector<std::string> words) {
  CommandLine line("test", "Tests.", std::move(words));
  line.flag("--flag", w.flag, "a flag");
  line.option("--text", w.text, "a text");
  line.option("--count", w.count, "a count");
  line.option("--share", w.share, "a share");
  line.option("--many", w.many, "texts");
  line.positional("FILE", w.file, "a file");
  line.positional("REST", w.rest, "the rest", CommandLine::Need::optional);
  line.example("trireme test x");
  return line.parse();
}

std::string refusal(std::vector<std::string> words) {
  Words w;
  try {
    parse(w, std::move(words));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(CommandLine, FillsVariablesAndKeepsDefaults) {
  Words w;
  ASSERT_TRUE(parse(w, {"in.txt"}));
  EXPECT_EQ(w.file, "in.txt");
  EXPECT_EQ(w.text, "default");
  EXPECT_EQ(w.count, 7);
  EXPECT_FALSE(w.flag);
  ASSERT_TRUE(parse(w, {"--flag", "in.txt", "--count", "-3", "--share=1e-4", "--many", "a", "a.b=1", "--many", "春 b",
                        "c.d=[1, 2]", "--text", ""}));
  EXPECT_TRUE(w.flag);
  EXPECT_EQ(w.count, -3);
  EXPECT_EQ(w.share, 1e-4);
  EXPECT_EQ(w.text, "");
  EXPECT_EQ(w.many, (std::vector<std::string>{"a", "春 b"}));
  EXPECT_EQ(w.rest, (std::vector<std::string>{"a.b=1", "c.d=[1, 2]"}));
}

TEST(CommandLine, ADashIsAFileName) {
  Words w;
  ASSERT_TRUE(parse(w, {"-"}));
  EXPECT_EQ(w.file, "-");
}

TEST(CommandLine, TextOfAnyFormIsTakenAsItIs) {
  Words w;
  ASSERT_TRUE(parse(w, {"f", "--text", "[a,b]", "--many", "x,y", "--many", "{z}", "--many", "%%"}));
  EXPECT_EQ(w.text, "[a,b]");
  EXPECT_EQ(w.many, (std::vector<std::string>{"x,y", "{z}", "%%"}));
}

TEST(CommandLine, WhatTheUserWroteWrongIsNamed) {
  EXPECT_NE(refusal({"f", "--coutn", "3"}).find("--coutn"), std::string::npos);
  EXPECT_NE(refusal({}).find("FILE"), std::string::npos);
  EXPECT_EQ(refusal({"f", "--count", "12abc"}), "--count: expected INTEGER, got '12abc'");
  EXPECT_EQ(refusal({"f", "--count", "99999999999999999999"}), "--count: expected INTEGER, got '99999999999999999999'");
  EXPECT_EQ(refusal({"f", "--share", "much"}), "--share: expected NUMBER, got 'much'");
  EXPECT_NE(refusal({"f", "--count"}).find("--count"), std::string::npos);
  EXPECT_NE(refusal({"f", "--count", "x"}), "");
}

TEST(CommandLine, HelpIsPrintedAndEndsTheCommand) {
  Words w;
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(parse(w, {"--help"}));
  const std::string text = ::testing::internal::GetCapturedStdout();
  for (const char* part : {"--count", "FILE", "a share", "Example:", "trireme test x"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

using testing::Outcome;
using testing::run;

TEST(Commands, WithoutWordsTheProgramExplainsItself) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{}, {"--help"}, {"help"}}) {
    const Outcome o = run(words);
    EXPECT_EQ(o.code, 0);
    EXPECT_NE(o.out.find("tokenizer encode"), std::string::npos);
    EXPECT_EQ(o.err, "");
  }
}

TEST(Commands, TheVersionIsTheOneOfTheBuild) {
  EXPECT_EQ(run({"--version"}).out, cat("trireme ", kVersion, "\n"));
  EXPECT_NE(read_file(TRIREME_SOURCE_DIR "/CMakeLists.txt").find(cat("VERSION ", kVersion, " LANGUAGES")),
            std::string::npos);
}

TEST(Commands, AnUnknownCommandIsAUserErrorThatNamesTheNearest) {
  const Outcome o = run({"trian"});
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("unknown command 'trian', did you mean 'train'?"), std::string::npos) << o.err;
  EXPECT_EQ(o.err.rfind("trireme: ", 0), 0U);
  EXPECT_NE(run({"tokenizer", "encod"}).err.find("did you mean 'tokenizer encode'?"), std::string::npos);
  EXPECT_EQ(run({"tokenizer"}).code, 2);
  EXPECT_EQ(run({"tokenizer", "--help"}).code, 0);
}

TEST(Commands, AnUnknownOptionNamesTheNearest) {
  const Outcome o = run({"train", "recipe.yaml", "--dryrun"});
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("unexpected '--dryrun', did you mean '--dry-run'?"), std::string::npos) << o.err;
}

TEST(Commands, EveryCommandHasHelpWithAnExample) {
  for (const std::vector<std::string>& name : std::vector<std::vector<std::string>>{{"train"},
                                                                                    {"generate"},
                                                                                    {"eval"},
                                                                                    {"verify"},
                                                                                    {"prepare"},
                                                                                    {"data", "samples"},
                                                                                    {"tokenizer", "train"},
                                                                                    {"tokenizer", "encode"},
                                                                                    {"tokenizer", "decode"},
                                                                                    {"docs", "keys"}}) {
    std::vector<std::string> words = name;
    words.emplace_back("--help");
    const Outcome o = run(words);
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find("trireme " + name[0]), std::string::npos);
    EXPECT_NE(o.out.find("Example:"), std::string::npos) << o.out;
    words.back() = "--no-such-option";
    EXPECT_EQ(run(words).code, 2);
  }
}

TEST(Commands, ExitCodesTellWhoHasToAct) {
  EXPECT_EQ(run({"verify", "/no/such/run"}).code, 1);
  EXPECT_EQ(run({"train", "/no/such/recipe.yaml"}).code, 1);
  EXPECT_EQ(run({"train", TRIREME_SOURCE_DIR "/recipes/gpt2-124m.yaml", "train.max_stepz=1"}).code, 2);
}

}  // namespace
}  // namespace trireme
