#include "models/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/tiny_models.h"

namespace trireme {
namespace {

const char* const kGoldens[] = {"gpt2_tied", "gpt2_untied", "llama", "qwen2", "qwen3"};

ModelConfig parse(const std::string& text) { return ModelConfig::from_json(Json::parse(text, "test")); }

/// What from_json says about `text`; empty where it takes it.
std::string complaint(const std::string& text) {
  try {
    parse(text);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

/// A small valid model of `type` with further keys.
std::string small(const std::string& type, const std::string& more = "") {
  const std::string sizes =
      type == "gpt2" ? R"("n_embd":24,"n_layer":3,"n_head":4,"n_positions":16)"
                     : R"("hidden_size":24,"num_hidden_layers":3,"num_attention_heads":4,"num_key_value_heads":2,)"
                       R"("intermediate_size":40,"max_position_embeddings":64)";
  return cat(R"({"model_type":")", type, R"(","vocab_size":50,)", sizes, more.empty() ? "" : ",", more, "}");
}

void expect_round_trip(const ModelConfig& config) {
  const std::string text = config.to_json().dump();
  EXPECT_EQ(parse(text).to_json().dump(), text);
}

TEST(ModelConfig, EveryFamilyRoundTrips) {
  for (const std::string type : {"gpt2", "llama", "mistral", "qwen2", "qwen3"}) {
    expect_round_trip(parse(small(type)));
    EXPECT_EQ(parse(small(type)).model_type, type);
    expect_round_trip(parse(
        small(type, R"("tie_word_embeddings":true,"initializer_range":0.01,"bos_token_id":1,"eos_token_id":[2,3])")));
    EXPECT_EQ(parse(small(type, R"("eos_token_id":[2,3])")).eos_token_id, 2);
  }
  expect_round_trip(parse(
      small("gpt2", R"("n_inner":50,"resid_pdrop":0.2,"embd_pdrop":0,"attn_pdrop":0.3,"tie_word_embeddings":false)")));
  expect_round_trip(parse(
      small("llama", R"("attention_bias":true,"mlp_bias":true,"attention_dropout":0.1,"head_dim":10,"rope_theta":5e5,
      "rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
      "original_max_position_embeddings":32})")));
  expect_round_trip(parse(small("qwen2", R"("rope_scaling":{"type":"linear","factor":2.5})")));
  expect_round_trip(parse(small("mistral", R"("sliding_window":8)")));
  expect_round_trip(parse(small("qwen3", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":0)")));
}

TEST(ModelConfig, EveryFieldSurvivesTheRoundTrip) {
  const ModelConfig c =
      parse(parse(small("llama", R"("attention_bias":true,"mlp_bias":true,"attention_dropout":0.125,"head_dim":10,
      "rms_norm_eps":1e-4,"rope_theta":123.5,
      "rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.5,"high_freq_factor":4.5,
      "original_max_position_embeddings":32},"tie_word_embeddings":true,
      "initializer_range":0.5,"bos_token_id":7,"eos_token_id":9)"))
                .to_json()
                .dump());
  EXPECT_EQ(c.hidden_size, 24);
  EXPECT_EQ(c.num_hidden_layers, 3);
  EXPECT_EQ(c.num_attention_heads, 4);
  EXPECT_EQ(c.num_key_value_heads, 2);
  EXPECT_EQ(c.head_dim, 10);
  EXPECT_EQ(c.intermediate_size, 40);
  EXPECT_EQ(c.max_position_embeddings, 64);
  EXPECT_EQ(c.vocab_size, 50);
  EXPECT_EQ(c.rope_theta, 123.5);
  EXPECT_EQ(c.rope_scaling, RopeScaling::llama3);
  EXPECT_EQ(c.rope_factor, 8);
  EXPECT_EQ(c.rope_low_freq_factor, 1.5);
  EXPECT_EQ(c.rope_high_freq_factor, 4.5);
  EXPECT_EQ(c.rope_original_max_position, 32);
  EXPECT_EQ(c.norm_eps, 1e-4);
  EXPECT_TRUE(c.qkv_bias && c.out_bias && c.mlp_bias && c.tie_word_embeddings);
  EXPECT_FALSE(c.qk_norm);
  EXPECT_EQ(c.attn_pdrop, 0.125);
  EXPECT_EQ(c.initializer_range, 0.5);
  EXPECT_EQ(c.bos_token_id, 7);
  EXPECT_EQ(c.eos_token_id, 9);
}

TEST(ModelConfig, ReadsWhatTransformersWrites) {
  for (const std::string name : kGoldens) {
    const ModelConfig c =
        ModelConfig::from_json(read_json(cat(TRIREME_SOURCE_DIR, "/tests/golden/", name, "/config.json")));
    EXPECT_EQ(c.num_hidden_layers, 2) << name;
    EXPECT_EQ(c.num_attention_heads, 4) << name;
    EXPECT_EQ(c.vocab_size, c.is_gpt2() ? 131 : 133) << name;
    EXPECT_EQ(c.eos_token_id, 0) << name;
    EXPECT_EQ(c.sliding_window, 0) << name;
    EXPECT_EQ(c.tie_word_embeddings, name != "gpt2_untied" && name != "llama") << name;
    expect_round_trip(c);
  }
  const ModelConfig llama =
      ModelConfig::from_json(read_json(cat(TRIREME_SOURCE_DIR, "/tests/golden/llama/config.json")));
  EXPECT_EQ(llama.rope_scaling, RopeScaling::llama3);
  EXPECT_EQ(llama.rope_theta, 100);
  EXPECT_EQ(llama.rope_original_max_position, 64);
  const ModelConfig qwen =
      ModelConfig::from_json(read_json(cat(TRIREME_SOURCE_DIR, "/tests/golden/qwen3/config.json")));
  EXPECT_EQ(qwen.head_dim, 10);
  EXPECT_TRUE(qwen.qk_norm);
}

TEST(ModelConfig, AMisspeltKeyIsNamedWithTheNearest) {
  EXPECT_NE(complaint(small("gpt2", R"("n_ebmd":3)")).find("unknown key 'model.n_ebmd', did you mean 'n_embd'?"),
            std::string::npos);
  EXPECT_NE(complaint(small("llama", R"("rope_tehta":3)")).find("did you mean 'rope_theta'?"), std::string::npos);
  EXPECT_NE(complaint(small("llama", R"("n_embd":3)")).find("unknown key 'model.n_embd'"), std::string::npos);
  EXPECT_NE(complaint(small("llama", R"("rope_scaling":{"factr":2})"))
                .find("'model.rope_scaling.factr', did you mean 'factor'?"),
            std::string::npos);
  EXPECT_NE(complaint(R"({"preset":"gpt2-124n"})").find("did you mean 'gpt2-124m'?"), std::string::npos);
  EXPECT_NE(complaint(R"({"model_type":"lama"})").find("did you mean 'llama'?"), std::string::npos);
}

TEST(ModelConfig, ImpossibleValuesAreRefusedByName) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"gpt2", R"("n_embd":0)", "n_embd"},
      {"gpt2", R"("n_embd":9223372036854775807)", "n_embd"},
      {"gpt2", R"("n_layer":1000000000)", "n_layer"},
      {"gpt2", R"("n_head":5)", "n_head is 5, which does not divide n_embd 24"},
      {"gpt2", R"("n_inner":-1)", "n_inner"},
      {"gpt2", R"("resid_pdrop":1)", "resid_pdrop"},
      {"gpt2", R"("embd_pdrop":-0.1)", "embd_pdrop"},
      {"gpt2", R"("activation_function":"relu")", "activation_function: 'relu' is not supported"},
      {"gpt2", R"("scale_attn_by_inverse_layer_idx":true)", "scale_attn_by_inverse_layer_idx"},
      {"gpt2", R"("layer_norm_epsilon":0)", "epsilon"},
      {"llama", R"("num_key_value_heads":3)", "num_key_value_heads is 3, which does not divide num_attention_heads 4"},
      {"llama", R"("num_attention_heads":5,"num_key_value_heads":5)",
       "which does not divide hidden_size 24; set head_dim"},
      {"llama", R"("head_dim":7)", "head_dim is 7"},
      {"llama", R"("head_dim":9223372036854775806)", "head_dim"},
      {"llama", R"("vocab_size":-1)", "vocab_size"},
      {"llama", R"("hidden_act":"gelu")", "hidden_act: 'gelu' is not supported"},
      {"llama", R"("rope_theta":0)", "rope_theta"},
      {"llama", R"("rope_scaling":{"rope_type":"yarn","factor":2})", "'yarn' is not supported"},
      {"llama", R"("rope_scaling":3)", "rope_scaling"},
      {"llama", R"("sliding_window":8)", "model_type llama has no window"},
      {"llama", R"("initializer_range":0)", "initializer_range"},
      {"llama", R"("hidden_size":"24")", "model.hidden_size"},
      {"llama", R"("hidden_size":24.5)", "model.hidden_size"},
      {"mistral", R"("sliding_window":-3)", "sliding_window"},
      {"qwen2", R"("sliding_window":8,"use_sliding_window":true)", "max_window_layers"},
      {"qwen2", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":1)", "2 of 3 layers"},
  };
  for (const auto& [type, key, expected] : cases) {
    // The key may stand in the small model too: the case's own value comes in its place.
    Json json = Json::parse(small(type), "test");
    const Json values = Json::parse("{" + key + "}", "case");
    for (const Json::Member& m : values.members()) json[m.first] = m.second;
    EXPECT_NE(complaint(json.dump()).find(expected), std::string::npos)
        << type << " " << key << ": " << complaint(json.dump());
  }
  EXPECT_NE(complaint("[1]"), "");
  EXPECT_NE(complaint("3"), "");
}

TEST(ModelConfig, AWindowIsReadAsTransformersReadsIt) {
  EXPECT_EQ(parse(small("mistral", R"("sliding_window":8)")).sliding_window, 8);
  EXPECT_EQ(parse(small("mistral", R"("sliding_window":null)")).sliding_window, 0);
  EXPECT_EQ(
      parse(small("qwen2", R"("sliding_window":8,"use_sliding_window":false,"max_window_layers":0)")).sliding_window,
      0);
  EXPECT_EQ(
      parse(small("qwen2", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":28)")).sliding_window,
      0);
  EXPECT_EQ(
      parse(small("qwen3", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":0)")).sliding_window, 8);
  EXPECT_EQ(parse(small("qwen3", R"("sliding_window":8,"use_sliding_window":true,"max_window_layers":28,
      "layer_types":["sliding_attention","sliding_attention","sliding_attention"])"))
                .sliding_window,
            8);
}

TEST(ModelConfig, APresetMayBeTheBegin) {
  const ModelConfig c = parse(R"({"preset":"gpt2-124m","n_layer":6})");
  EXPECT_EQ(c.num_hidden_layers, 6);
  EXPECT_EQ(c.hidden_size, 768);
  EXPECT_EQ(ModelConfig::from_json(Json("llama3-8b")).rope_theta, 500000);
}

}  // namespace
}  // namespace trireme
