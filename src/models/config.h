// What a model is: one normalised description, read from and written as Hugging Face's config.json of the GPT-2 and
// Llama families (Llama, Mistral, Qwen2, Qwen3).
#pragma once

#include <string>

#include "base/json.h"
#include "layers/mlp.h"
#include "layers/norm.h"

namespace trireme {

enum class RopeScaling : uint8_t { none, linear, llama3 };

struct ModelConfig {
  std::string model_type = "llama";  // gpt2, llama, mistral, qwen2, qwen3
  int64_t vocab_size = 0;            // 0: to be taken from the tokenizer
  int64_t hidden_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;

  double rope_theta = 10000;  // no meaning for gpt2, whose positions are learned
  RopeScaling rope_scaling = RopeScaling::none;
  double rope_factor = 1, rope_low_freq_factor = 1, rope_high_freq_factor = 4;
  int64_t rope_original_max_position = 8192;

  double norm_eps = 1e-5;
  bool qkv_bias = false, out_bias = false, mlp_bias = false, qk_norm = false;
  bool tie_word_embeddings = false;
  int64_t sliding_window = 0;
  double resid_pdrop = 0, embd_pdrop = 0, attn_pdrop = 0;
  double initializer_range = 0.02;
  int64_t bos_token_id = -1, eos_token_id = -1;

  bool is_gpt2() const { return model_type == "gpt2"; }
  NormKind norm_kind() const { return is_gpt2() ? NormKind::layer_norm : NormKind::rms_norm; }
  MlpKind mlp_kind() const { return is_gpt2() ? MlpKind::gelu : MlpKind::swiglu; }
  int64_t num_units() const { return num_hidden_layers + 2; }  // embedding, blocks, head

  /// A preset's name, or an object of config.json keys, in which `preset` may name the values to start from.
  /// ConfigError for an unknown key (with the nearest valid one), a wrong type, an impossible value or an unsupported
  /// feature.
  static ModelConfig from_json(const Json& json);
  /// The config.json that Hugging Face's classes read.
  Json to_json() const;
  /// Everything that cannot be: heads that do not divide the hidden size, sizes below 1, ... ConfigError.
  void validate() const;
};

/// Named shapes: gpt2-124m, gpt3-1.3b, llama3-8b, ... ConfigError with the nearest name where there is none.
Json model_preset(std::string_view name);

}  // namespace trireme
