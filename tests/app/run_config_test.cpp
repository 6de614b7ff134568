#include "app/run_config.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/yaml.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

RunConfig parse(const std::string& text) { return parse_recipe(text, "r.yaml"); }

/// The message with which `text` is refused; empty where it is not.
std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

std::string override_refusal(const std::string& word) {
  RunConfig config;
  try {
    apply_override(config, word);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

/// A value that fits `field` and differs from its default.
Json other_value(const Field& field) {
  const Json old = field.get();
  switch (old.kind()) {
    case Json::Kind::boolean: return !old.as_bool();
    case Json::Kind::integer:
      if (field.key == "precision.initial_scale_power") return Json(24);
      return field.key == "parallel.zero_stage" ? Json(3) : Json(old.as_integer() + 1000 % 1023 + 1);
    case Json::Kind::real: return field.key == "schedule.decay" ? Json(0.75) : Json(old.as_real() + 0.5);
    case Json::Kind::array: {
      Json list = Json::array();
      for (const Json& item : old.items()) list.push_back(Json(item.as_real() / 2 + 0.125));
      if (old.size() == 0) list.push_back(Json("a b: [c] # d:0.5"));
      return list;
    }
    default: break;
  }
  const size_t bar = field.value.rfind("| ");
  return bar == std::string::npos ? Json("a b: [c] # d") : Json(field.value.substr(bar + 2));
}

TEST(RunConfig, EveryKeyIsReadPrintedAndReadBack) {
  RunConfig config;
  for (const Field& field : recipe_fields(config)) {
    if (field.key == "optimizer.name") continue;  // has one value only
    const Json value = other_value(field), before = field.get();
    field.set(value);
    EXPECT_EQ(field.get().dump(), value.dump()) << field.key;
    EXPECT_NE(field.get().dump(), before.dump()) << field.key;
  }
  config.model["preset"] = "gpt2-124m";
  config.model["n_layer"] = 3;
  const std::string text = dump_recipe(config);
  RunConfig again = parse(text);
  EXPECT_EQ(dump_recipe(again), text);
  const std::vector<Field> a = recipe_fields(config), b = recipe_fields(again);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].get().dump(), b[i].get().dump()) << a[i].key;
  EXPECT_EQ(again.model.dump(), config.model.dump());
  EXPECT_EQ(recipe_hash(again), recipe_hash(config));
  EXPECT_NE(recipe_hash(again), recipe_hash(RunConfig()));
}

TEST(RunConfig, EveryKeyBelongsToASectionAndIsDocumented) {
  RunConfig config;
  std::set<std::string> keys;
  for (const Field& field : recipe_fields(config)) {
    EXPECT_TRUE(keys.insert(field.key).second) << field.key;
    EXPECT_FALSE(field.doc.empty() || field.value.empty()) << field.key;
    EXPECT_NE(describe_keys().find("`" + field.key + "`"), std::string::npos);
  }
  for (const char* key : {"device", "run.dir", "train.max_steps", "data.micro_batch_size", "data.global_batch_size",
                          "checkpoint.every", "checkpoint.keep_last", "log.every", "optimizer.lr"}) {
    EXPECT_TRUE(keys.count(key)) << key;
  }
}

TEST(RunConfig, ReadsValuesIntoTheirPlaces) {
  const RunConfig c = parse(
      "device: cpu\nmodel: gpt2-124m\nlog:\noptimizer:\n  lr: 6e-4\n  betas: [0.8, 0.99]\ntrain: {max_steps: 1e3}\n"
      "schedule:\n  kind: wsd\nprecision:\n  param_dtype: bfloat16\n");
  EXPECT_EQ(c.optimizer.lr, 6e-4);
  EXPECT_EQ(c.optimizer.betas[1], 0.99);
  EXPECT_EQ(c.train.max_steps, 1000);
  EXPECT_EQ(c.schedule.kind, ScheduleKind::wsd);
  EXPECT_EQ(c.precision.param_dtype, DType::bf16);
  EXPECT_EQ(c.model.at("preset").as_string(), "gpt2-124m");
}

TEST(RunConfig, AnUnknownKeyNamesItsLineAndTheNearestKey) {
  EXPECT_EQ(refusal("optimizer:\n  eps: 1e-8\n  lrr: 1\n"),
            "r.yaml:3: unknown key 'optimizer.lrr', did you mean 'optimizer.lr'?");
  EXPECT_EQ(refusal("train:\n  lr: 1\n"), "r.yaml:2: unknown key 'train.lr', did you mean 'optimizer.lr'?");
  EXPECT_EQ(refusal("optimiser:\n  lr: 1\n"), "r.yaml:1: unknown section 'optimiser', did you mean 'optimizer'?");
  EXPECT_EQ(refusal("devise: cpu\n"), "r.yaml:1: unknown key 'devise', did you mean 'device'?");
  EXPECT_EQ(refusal("eval:\n  zzzzzzzz: 1\n"),
            "r.yaml:2: unknown key 'eval.zzzzzzzz', valid: eval.every, eval.max_batches");
}

TEST(RunConfig, AWrongValueNamesItsLineAndWhatFits) {
  EXPECT_EQ(refusal("train:\n  max_steps: many\n"),
            "r.yaml:2: train.max_steps: expected integer, at least 1 and at most 1073741824; got \"many\"");
  EXPECT_EQ(refusal("train:\n  max_steps: 0\n"),
            "r.yaml:2: train.max_steps: expected integer, at least 1 and at most 1073741824; got 0");
  EXPECT_EQ(refusal("train:\n  max_steps: 1.5\n"),
            "r.yaml:2: train.max_steps: expected integer, at least 1 and at most 1073741824; got 1.5");
  EXPECT_EQ(refusal("train:\n  max_steps: 1e300\n"),
            "r.yaml:2: train.max_steps: expected integer, at least 1 and at most 1073741824; got 1e+300");
  EXPECT_EQ(refusal("train: {max_steps: }\n"),
            "r.yaml:1: train.max_steps: expected integer, at least 1 and at most 1073741824; got nothing");
  EXPECT_EQ(refusal("optimizer: {lr: 0}\n"), "r.yaml:1: optimizer.lr: expected number, above 0; got 0");
  EXPECT_EQ(refusal("log: {tensorboard: 1}\n"), "r.yaml:1: log.tensorboard: expected true or false; got 1");
  EXPECT_EQ(refusal("schedule: {kind: cosin}\n"),
            "r.yaml:1: schedule.kind: unknown value 'cosin', did you mean 'cosine'?");
  EXPECT_EQ(refusal("optimizer: {betas: [0.9]}\n"),
            "r.yaml:1: optimizer.betas: expected a list of 2 numbers, each number, at least 0 and below 1; got [0.9]");
  for (const char* text :
       {"optimizer: {lr: .nan}", "optimizer: {lr: .inf}", "optimizer: {betas: [0.9, 1]}", "run: {name: 3}",
        "device: {a: 1}", "device: meta", "train: 5", "train: [1]", "model: 5", "model:", "- a", "", "7"}) {
    EXPECT_NE(refusal(text), "") << text;
  }
}

TEST(RunConfig, OverridesWinAndTakeYamlValuesAndFreeText) {
  RunConfig c = parse("model: gpt2-124m\noptimizer:\n  lr: 1\n");
  for (const char* word : {"optimizer.lr=6e-4", "optimizer.betas=[0.5, 0.75]", "run.dir=out: 1 #x", "data.column='a b'",
                           "run.name=2024", "model.n_layer=2", "device=cpu", "data.document_separator=%"}) {
    apply_override(c, word);
  }
  EXPECT_EQ(c.optimizer.lr, 6e-4);
  EXPECT_EQ(c.optimizer.betas[0], 0.5);
  EXPECT_EQ(c.run.dir, "out: 1 #x");
  EXPECT_EQ(c.data.column, "a b");
  EXPECT_EQ(c.run.name, "2024");
  EXPECT_EQ(c.data.document_separator, "%");
  EXPECT_EQ(c.model.dump(), R"({"preset":"gpt2-124m","n_layer":2})");
  apply_override(c, "model=llama3-8b");
  EXPECT_EQ(c.model.dump(), R"({"preset":"llama3-8b"})");
}

TEST(RunConfig, AWrongOverrideSaysSo) {
  EXPECT_EQ(override_refusal("optimizer.lrr=1"),
            "command line: unknown key 'optimizer.lrr', did you mean 'optimizer.lr'?");
  EXPECT_EQ(override_refusal("train.max_steps=x"),
            "command line: train.max_steps: expected integer, at least 1 and at most 1073741824; got \"x\"");
  EXPECT_EQ(override_refusal("max_steps=1"), "command line: unknown key 'max_steps', did you mean 'train.max_steps'?");
  for (const char* word :
       {"", "=", "=1", "train.max_steps", "train.max_steps=", "train.max_steps=[", "train=5", "optimizer.betas=0.9"}) {
    EXPECT_NE(override_refusal(word), "") << word;
  }
}

TEST(RunConfig, WhatFollowsFromOtherKeysIsFilledIn) {
  const testing::TempDir dir;
  write_file(dir.path("tiny.yaml"), "model: gpt2-124m\ndata:\n  micro_batch_size: 4\n");
  const std::vector<std::string> none;
  RunConfig c = load_recipe(dir.path("tiny.yaml"), none);
  EXPECT_EQ(c.run.name, "tiny");
  EXPECT_EQ(c.run.dir, "runs/tiny");
  EXPECT_EQ(c.tokenizer.path, "runs/tiny/tokenizer");
  EXPECT_EQ(c.data.prefix, "runs/tiny/data/tokens");
  EXPECT_EQ(c.data.global_batch_size, 4);
  const std::vector<std::string> words = {"run.dir=x", "data.global_batch_size=8"};
  c = load_recipe(dir.path("tiny.yaml"), words);
  EXPECT_EQ(c.tokenizer.path, "x/tokenizer");
  EXPECT_EQ(c.data.global_batch_size, 8);
  c = load_recipe(dir.path("tiny.yaml"), none, 4);
  EXPECT_EQ(c.parallel.data, 4);
  EXPECT_EQ(c.data.global_batch_size, 4);  // as on one process
  EXPECT_EQ(c.data.micro_batch_size, 1);
  const std::vector<std::string> tensor = {"parallel.tensor=2"};
  EXPECT_EQ(load_recipe(dir.path("tiny.yaml"), tensor, 4).parallel.data, 2);
  EXPECT_EQ(load_recipe(dir.path("tiny.yaml"), tensor).parallel.data, 1);
  EXPECT_THROW(load_recipe(dir.path("absent.yaml"), none), IoError);
}

}  // namespace
}  // namespace trireme
