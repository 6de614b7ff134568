// `trireme parity`: every layout of a recipe trains like one rank, mistakes turn it red, and the run folder is left
// alone.
#include <gtest/gtest.h>

#include <filesystem>

#include "system/tiny_run.h"

namespace trireme {
namespace {

using testing::Child;

class ParityCommand : public ::testing::Test {
 protected:
  struct Answer {
    int code;
    Json report = Json::object();
    std::string err;
  };
  /// `trireme parity RECIPE --json` with these words; its temporary files go to a folder of the test's.
  Answer parity(const std::vector<std::string>& more, const std::string& failpoint = "") {
    std::vector<std::string> words{"parity", recipe_, "--json"}, environment{"TMPDIR=" + dir_.path("temporary")};
    words.insert(words.end(), more.begin(), more.end());
    if (!failpoint.empty()) environment.push_back("TRIREME_FAILPOINT=" + failpoint + ":skip");
    std::filesystem::create_directories(dir_.path("temporary"));
    Child child(words, {.environment = environment});
    Answer answer{child.wait()};
    answer.err = child.err();
    if (const std::string out = child.out(); !out.empty()) answer.report = Json::parse(out, "report");
    return answer;
  }
  /// The rows of layouts that have such ranks.
  static std::vector<Json> rows(const Json& report, const std::string& part, bool equal) {
    std::vector<Json> found;
    for (const Json& row : report.at("layouts").items())
      if (row.at("layout").as_string().find(part) != std::string::npos && row.at("equal").as_bool() == equal)
        found.push_back(row);
    return found;
  }

  testing::TempDir dir_;
  const std::string recipe_ = testing::write_tiny_recipe(dir_.path());
};

TEST_F(ParityCommand, EveryLayoutOfARecipeTrainsLikeOneRank) {
  const Answer answer = parity({"--max-ranks", "2"});
  EXPECT_EQ(answer.code, 0) << answer.err << answer.report.dump();
  EXPECT_EQ(answer.report.at("layouts").size(), 13U);  // one rank; data and context with ZeRO 0 to 3, pipeline, tensor
  EXPECT_EQ(rows(answer.report, "", true).size(), 13U);
  for (const char* axis : {"data=2", "tensor=2", "context=2", "pipeline=2", "zero_stage=3", "sequence_parallel=true"})
    EXPECT_FALSE(rows(answer.report, axis, true).empty()) << axis;
  EXPECT_FALSE(std::filesystem::exists(dir_.path("run")));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path("temporary")));
}

TEST_F(ParityCommand, TheRankInFloat32IsSoWhateverTheRecipesPrecision) {
  for (const char* key : {"precision.grad_dtype=bfloat16", "precision.linear_dtype=float8", "precision.master=none"}) {
    const Answer answer = parity({"--layouts", "tensor=1", "--steps", "1", "precision.param_dtype=bfloat16", key});
    EXPECT_EQ(answer.code, 0) << key << answer.err << answer.report.dump();
  }
  const Answer answer = parity({"--layouts", "tensor=1", "--layouts", "data=2", "--steps", "1",
                                "precision.param_dtype=bfloat16", "precision.grad_dtype=bfloat16"});
  ASSERT_EQ(answer.report.at("refused").size(), 1U) << answer.err;
  EXPECT_NE(answer.report.at("refused").items()[0].at("reason").as_string().find("is for one rank without ZeRO"),
            std::string::npos);
}

TEST_F(ParityCommand, UpdatesThatAreMadeOfRoundingsDoNotTurnItRed) {
  // One sentence again and again leaves many gradients at zero, but for roundings, of which AdamW makes whole steps.
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the old ship rows along the bank\n%\n";
  write_file(dir_.path("same.txt"), text);
  const Answer answer =
      parity({"--layouts", "tensor=1", "precision.param_dtype=bfloat16", "data.source=" + dir_.path("same.txt"),
              "optimizer.lr=0.03", "schedule.warmup=0",
              "model={model_type: llama, hidden_size: 16, num_hidden_layers: 4, num_attention_heads: 2, "
              "intermediate_size: 48, max_position_embeddings: 32}"});
  EXPECT_EQ(answer.code, 0) << answer.err << answer.report.dump();
}

TEST_F(ParityCommand, AFloat16StepThatOverflowsIsTriedAgain) {
  const Answer answer = parity({"--layouts", "tensor=1", "--layouts", "data=2", "precision.param_dtype=float16",
                                "precision.initial_scale_power=24"});
  EXPECT_EQ(answer.code, 0) << answer.err << answer.report.dump();
}

TEST_F(ParityCommand, RefusedLayoutsAreListedWithTheirReason) {
  const Answer answer = parity({"--layouts", "data=2,pipeline=2,zero_stage=2", "--layouts", "data=8", "--layouts",
                                "tensor=2", "--steps", "1", "precision.param_dtype=bfloat16"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.report.at("layouts").size(), 1U);
  const Json& refused = answer.report.at("refused");
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_NE(refused.items()[0].at("reason").as_string().find("is not supported"), std::string::npos);
  EXPECT_NE(refused.items()[1].at("reason").as_string().find("is not a multiple of parallel.data=8"),
            std::string::npos);
}

TEST_F(ParityCommand, ABiasAddedOnEveryTensorRankTurnsItRed) {
  const Answer answer = parity({"--max-ranks", "2"}, "linear.bias_of_all_ranks");
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(rows(answer.report, "tensor=2", false).size(), 2U) << answer.report.dump();
  EXPECT_EQ(rows(answer.report, "", false).size(), 2U) << answer.report.dump();
}

TEST_F(ParityCommand, ANormThatCountsAShardTwiceTurnsItRed) {
  const Answer answer = parity({"--max-ranks", "2"}, "norm.counts_twice");
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(rows(answer.report, "tensor=2", false).size(), 2U) << answer.report.dump();
}

TEST_F(ParityCommand, AKeyValueHeadThatTensorRanksShareIsSummedAndCountedOnce) {
  // One key-value head, which two tensor ranks share.
  const std::vector<std::string> words{"--layouts", "tensor=2",
                                       "model={model_type: llama, hidden_size: 16, num_hidden_layers: 2, "
                                       "num_attention_heads: 2, num_key_value_heads: 1, "
                                       "intermediate_size: 32, max_position_embeddings: 16, attention_bias: true}"};
  EXPECT_EQ(parity(words).code, 0);
  for (const char* defect : {"params.shared_twice", "grads.shared_unsummed"}) {
    const Answer answer = parity(words, defect);
    EXPECT_EQ(answer.code, 1) << defect;
    EXPECT_EQ(rows(answer.report, "tensor=2", false).size(), 1U) << defect << answer.report.dump();
  }
}

TEST_F(ParityCommand, TheTableNamesEachLayoutAndWhatItIsAllowed) {
  Child child({"parity", recipe_, "--layouts", "tensor=2", "--layouts", "data=2,zero_stage=1"});
  EXPECT_EQ(child.wait(), 0) << child.err();
  const std::string out = child.out();
  for (const char* part : {"3 steps of 4 x 16 tokens", "| tensor=2            | 2", "| data=2 zero_stage=1 | 2",
                           "2 layouts train like one rank"})
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
}

TEST_F(ParityCommand, WhatTheUserWroteWrongIsNamed) {
  for (const auto& [words, part] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{{{"--layouts", "tensro=2"}, "parallel.tensor"},
                                                                     {{"--steps", "0"}, "--steps is 0"},
                                                                     {{"--steps", "31"}, "expected 1 to 30"},
                                                                     {{"--max-ranks", "65"}, "--max-ranks is 65"}}) {
    const Answer answer = parity(words);
    EXPECT_EQ(answer.code, 2) << part;
    EXPECT_NE(answer.err.find(part), std::string::npos) << answer.err;
  }
}

}  // namespace
}  // namespace trireme
