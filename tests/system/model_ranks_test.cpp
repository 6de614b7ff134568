// Generation and evaluation on the layout of a training: several processes say what one says.
#include <gtest/gtest.h>

#include <cmath>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child;

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class ModelRanks : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new testing::TempDir;
    recipe_ = testing::write_tiny_recipe(dir_->path());
    Child child({"launch", "--nproc-per-node", "4", "--", "train", recipe_, "parallel.tensor=2", "parallel.pipeline=2",
                 "train.spike_z_score=0"});
    EXPECT_EQ(child.wait(), 0) << child.err();
  }
  static void TearDownTestSuite() { delete dir_; }

  static std::string run_folder() { return dir_->path("run"); }
  /// What `trireme WORDS...` prints, on so many processes.
  static std::string said(int processes, const std::vector<std::string>& words) {
    Child child(processes == 1 ? words
                               : std::vector<std::string>{"launch", "--nproc-per-node", cat(processes), "--"} + words);
    EXPECT_EQ(child.wait(), 0) << child.err();
    EXPECT_EQ(child.err().find("[rank"), std::string::npos) << child.err();
    return child.out();
  }

  static inline testing::TempDir* dir_ = nullptr;
  static inline std::string recipe_;
};

TEST_F(ModelRanks, WriteTheTokensOfOneProcess) {
  for (const std::vector<std::string>& choice : std::vector<std::vector<std::string>>{
           {"--temperature", "0"}, {"--temperature", "0.9", "--top-p", "0.95", "--seed", "3"}}) {
    const std::vector<std::string> words =
        std::vector<std::string>{"generate",      run_folder(), "--prompt",         "the o", "--prompt", "sea",
                                 "--num-samples", "3",          "--max-new-tokens", "8",     "--json"} +
        choice;
    const std::string one = said(1, words);
    EXPECT_EQ(split(trim(one), '\n').size(), 6U);
    EXPECT_EQ(said(2, words + std::vector<std::string>{"parallel.tensor=2"}), one);
    EXPECT_EQ(said(2, words + std::vector<std::string>{"parallel.pipeline=2"}), one);
    EXPECT_EQ(said(4, words), one);  // the layout of the run
    EXPECT_EQ(said(4, words + std::vector<std::string>{"parallel.pipeline=4"}), one);
  }
}

TEST_F(ModelRanks, AStreamedTextIsPrintedOnce) {
  const std::vector<std::string> words{"generate",         run_folder(), "--prompt",      "old",
                                       "--max-new-tokens", "8",          "--temperature", "0"};
  EXPECT_EQ(said(2, words + std::vector<std::string>{"parallel.tensor=2"}), said(1, words));
}

TEST_F(ModelRanks, EvaluateAsOneProcess) {
  const std::vector<std::string> words{"eval",         run_folder(), "--data", run_folder() + "/data/tokens",
                                       "--batch-size", "2",          "--json"};
  const std::string text = said(1, words);
  const Json one = Json::parse(text, "one");
  for (const std::vector<std::string>& layout :
       std::vector<std::vector<std::string>>{{"parallel.tensor=2"}, {"parallel.pipeline=4"}, {}}) {
    const Json four = Json::parse(said(4, words + layout), "four");
    EXPECT_EQ(four.at("targets").as_integer(), one.at("targets").as_integer());
    EXPECT_EQ(four.at("bytes").as_integer(), one.at("bytes").as_integer());
    EXPECT_NEAR(four.at("loss").as_real(), one.at("loss").as_real(), 1e-6 * one.at("loss").as_real());
  }
  EXPECT_EQ(said(2, words + std::vector<std::string>{"parallel.pipeline=2"}), text);
}

TEST_F(ModelRanks, WhatIsWrongIsToldOnce) {
  for (const auto& [words, part] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"generate", run_folder(), "parallel.tensor=3"}, "needs 3 processes, but there are 2"},
           {{"generate", run_folder(), "parallel.data=2"}, "only parallel.tensor and parallel.pipeline"},
           {{"generate", run_folder(), "parallel.tensor=2", "--max-new-tokens", "1000"}, "max-new-tokens is 1000"},
           {{"eval", run_folder(), "parallel.tensor=2", "--data", dir_->path("nothing")}, "nothing"}}) {
    Child child(std::vector<std::string>{"launch", "--nproc-per-node", "2", "--"} + words);
    EXPECT_NE(child.wait(), 0);
    const std::string err = child.err();
    const size_t first = err.find("trireme: ");
    ASSERT_NE(first, std::string::npos) << err;
    EXPECT_NE(err.find(part), std::string::npos) << err;
    EXPECT_EQ(err.find("trireme: ", first + 1), std::string::npos) << err;
  }
}

}  // namespace
}  // namespace trireme
