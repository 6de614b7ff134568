#include "app/validate.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"

namespace trireme {
namespace {

/// A config that breaks no rule.
RunConfig good() {
  RunConfig c;
  c.model["preset"] = "gpt2-124m";
  c.data.source = "x.txt";
  c.data.global_batch_size = 16;
  c.parallel.data = 1;
  c.tokenizer.vocab_size = 50257;
  return c;
}

std::string refusal(const RunConfig& config) {
  try {
    validate(config, read_model(config, "r.yaml"), "r.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

/// The refusal after `word` is set on a good config.
std::string refusal_of(const std::string& word) {
  RunConfig config = good();
  apply_override(config, word);
  return refusal(config);
}

TEST(Validate, AGoodConfigPasses) { EXPECT_EQ(refusal(good()), ""); }

TEST(Validate, EveryCrossRuleNamesItsKeys) {
  const std::pair<const char*, const char*> rules[] = {
      {"schedule.min_lr=1e-2", "schedule.min_lr (0.01) is above the peak learning rate (3e-04)"},
      {"data.global_batch_size=12", "data.global_batch_size (12) is not a multiple"},
      {"data.global_batch_size=4", "data.global_batch_size (4) is not a multiple"},
      {"data.split=[0, 1, 1]", "data.split gives no documents to training"},
      {"data.source=", "there is nothing to train on"},
      {"data.sequence_length=1025", "data.sequence_length (1025) is above the model's 1024 learned positions"},
      {"model.vocab_size=100", "model.vocab_size (100) is below tokenizer.vocab_size (50257)"},
      {"parallel.data=2", "= 2 x 1 x 1 x 1 needs 2 processes, but there is 1; start them with `trireme launch"},
      {"parallel.tensor=2", "= 1 x 2 x 1 x 1 needs 2 processes"},
      {"parallel.pipeline=2", "= 1 x 1 x 2 x 1 needs 2 processes"},
      {"parallel.context=2", "= 1 x 1 x 1 x 2 needs 2 processes"},
      {"parallel.virtual_pipeline=2", "parallel.virtual_pipeline=2 has no effect"},
      {"parallel.zero_stage=1", "parallel.zero_stage = 1 has no effect"},
      {"parallel.sequence_parallel=true", "parallel.sequence_parallel has no effect"},
      {"precision.loss_scale=128",
       "loss scaling (precision.loss_scale and its kin) is for precision.param_dtype: float16"},
      {"precision.master=remainder", "precision.master: remainder is for precision.param_dtype: bfloat16 only"},
      {"precision.master=none", "float32 parameters are their own masters"},
      {"precision.linear_dtype=float8", "precision.linear_dtype: float8 is for precision.param_dtype: bfloat16 only"},
      {"precision.grad_dtype=bfloat16", "precision.grad_dtype: bfloat16 is for precision.param_dtype: bfloat16 only"},
      {"model.n_head=7", "model.n_head is 7, which does not divide n_embd 768"},
      {"model.n_heads=7", "unknown key 'model.n_heads', did you mean 'n_head'?"},
      {"model.preset=gpt2-124", "unknown preset 'gpt2-124', did you mean 'gpt2-124m'?"},
  };
  for (const auto& [word, expected] : rules) {
    const std::string text = refusal_of(word);
    EXPECT_EQ(text.rfind("r.yaml: ", 0), 0U) << word << ": " << text;
    EXPECT_NE(text.find(expected), std::string::npos) << word << ": " << text;
  }
}

TEST(Validate, TheRanksOfALayoutAreTheProcessesThatWereStarted) {
  RunConfig config = good();
  config.parallel = {.data = 2, .tensor = 2, .zero_stage = 3};
  const ModelConfig model = read_model(config, "r.yaml");
  EXPECT_NO_THROW(validate(config, model, "r.yaml", 4));
  EXPECT_THROW(validate(config, model, "r.yaml", 2), ConfigError);
  EXPECT_THROW(validate(config, model, "r.yaml", 8), ConfigError);
}

TEST(Validate, ALayoutThatTheEngineRefusesIsRefusedBeforeStart) {
  RunConfig config = good();
  config.parallel = {.data = 2, .pipeline = 2, .zero_stage = 2};
  EXPECT_NE(refusal(config).find("parallel.zero_stage=2 with parallel.pipeline=2 is not supported"), std::string::npos);
}

TEST(Validate, EvaluationNeedsAValidationShare) {
  RunConfig config = good();
  config.data.split = {1, 0, 0};
  EXPECT_EQ(refusal(config), "");
  config.eval.every = 10;
  EXPECT_NE(refusal(config).find("eval.every"), std::string::npos);
}

TEST(Validate, NoamComparesTheFloorWithTheRealPeak) {
  RunConfig config = good();
  config.schedule = {.kind = ScheduleKind::noam, .warmup = 100, .min_lr = 1e-3};
  config.optimizer.lr = 1;  // a factor: the peak is 1 / sqrt(768 * 100) = 0.0036
  EXPECT_EQ(refusal(config), "");
  config.schedule.min_lr = 4e-3;
  EXPECT_NE(refusal(config), "");
}

TEST(Validate, FewerBitsAreTakenWhereTheyWork) {
  for (const char* dtype : {"bfloat16", "float16", "float32"}) {
    for (const char* master : {"float32", "remainder", "none"}) {
      RunConfig config = good();
      apply_override(config, cat("precision.param_dtype=", dtype));
      apply_override(config, cat("precision.master=", master));
      apply_override(config, "optimizer.moments=8bit");
      const bool fine = std::string(dtype) == "bfloat16" || std::string(master) == "float32";
      EXPECT_EQ(refusal(config).empty(), fine) << dtype << ", " << master << ": " << refusal(config);
    }
  }
  RunConfig config = good();
  config.optimizer.moments = Moments::eight_bit;
  config.optimizer.eps = 1e-15;
  EXPECT_NE(refusal(config).find("optimizer.eps (1e-15) is too small for optimizer.moments: 8bit"), std::string::npos);
}

TEST(Validate, Tf32IsForFloat32) {
  RunConfig config = good();
  apply_override(config, "precision.tf32=true");
  EXPECT_EQ(refusal(config), "");
  apply_override(config, "precision.param_dtype=bfloat16");
  EXPECT_NE(refusal(config).find("precision.tf32 is for precision.param_dtype: float32 only"), std::string::npos);
}

TEST(Validate, AFloat16RunScalesItsLossAsTheRecipeSays) {
  RunConfig config = good();
  apply_override(config, "precision.param_dtype=float16");
  apply_override(config, "precision.initial_scale_power=3");
  EXPECT_EQ(refusal(config), "");
  apply_override(config, "precision.min_loss_scale=16");
  EXPECT_NE(refusal(config).find("precision.min_loss_scale (16) is above the first loss scale, 2^3 = 8"),
            std::string::npos);
  apply_override(config, "precision.loss_scale=4");  // the others do not matter then
  EXPECT_EQ(refusal(config), "");
}

TEST(Validate, AllBrokenRulesAreListedAtOnce) {
  RunConfig config = good();
  config.schedule.min_lr = 1;
  config.parallel.tensor = 4;
  const std::string text = refusal(config);
  EXPECT_NE(text.find("schedule.min_lr"), std::string::npos);
  EXPECT_NE(text.find("needs 4 processes"), std::string::npos);
}

TEST(Validate, ARecipeWithoutAModelIsRefused) {
  RunConfig config = good();
  config.model = Json::object();
  EXPECT_NE(refusal(config).find("names no model"), std::string::npos);
}

TEST(Validate, EveryShippedRecipeIsValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TRIREME_SOURCE_DIR "/recipes")) {
    const std::vector<std::string> none;
    const RunConfig config = load_recipe(entry.path(), none);
    EXPECT_EQ(refusal(config), "") << entry.path();
    ++count;
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace trireme
