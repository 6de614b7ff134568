// Published shapes by name. Each is the text of a config.json without its bookkeeping keys.
#include <array>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "models/config.h"

namespace trireme {
namespace {

struct Preset {
  std::string_view name, json;
};

constexpr std::array kPresets{
    Preset{"gpt2-124m",
           R"({"model_type":"gpt2","vocab_size":50257,"n_embd":768,"n_layer":12,"n_head":12,"n_positions":1024})"},
    Preset{"gpt2-355m",
           R"({"model_type":"gpt2","vocab_size":50257,"n_embd":1024,"n_layer":24,"n_head":16,"n_positions":1024})"},
    Preset{"gpt2-774m",
           R"({"model_type":"gpt2","vocab_size":50257,"n_embd":1280,"n_layer":36,"n_head":20,"n_positions":1024})"},
    Preset{"gpt2-1.5b",
           R"({"model_type":"gpt2","vocab_size":50257,"n_embd":1600,"n_layer":48,"n_head":25,"n_positions":1024})"},
    Preset{"gpt3-1.3b",
           R"({"model_type":"gpt2","vocab_size":50304,"n_embd":2048,"n_layer":24,"n_head":16,"n_positions":1024})"},
    Preset{"gpt3-2.7b",
           R"({"model_type":"gpt2","vocab_size":50304,"n_embd":2560,"n_layer":32,"n_head":32,"n_positions":2048})"},
    Preset{"ti-10b",
           R"({"model_type":"gpt2","vocab_size":50304,"n_embd":4096,"n_layer":50,"n_head":32,"n_positions":1024})"},
    Preset{"ti-100b",
           R"({"model_type":"gpt2","vocab_size":51200,"n_embd":4096,"n_layer":480,"n_head":32,"n_positions":1024})"},
    Preset{
        "llama3.2-1b",
        R"({"model_type":"llama","vocab_size":128256,"hidden_size":2048,"num_hidden_layers":16,"num_attention_heads":32,
               "num_key_value_heads":8,"head_dim":64,"intermediate_size":8192,"max_position_embeddings":131072,
               "rms_norm_eps":1e-5,"rope_theta":500000.0,"tie_word_embeddings":true,
               "rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
                               "original_max_position_embeddings":8192}})"},
    Preset{
        "llama3-8b",
        R"({"model_type":"llama","vocab_size":128256,"hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,
               "num_key_value_heads":8,"intermediate_size":14336,"max_position_embeddings":8192,"rms_norm_eps":1e-5,
               "rope_theta":500000.0})"},
    Preset{
        "qwen2.5-0.5b",
        R"({"model_type":"qwen2","vocab_size":151936,"hidden_size":896,"num_hidden_layers":24,"num_attention_heads":14,
               "num_key_value_heads":2,"intermediate_size":4864,"max_position_embeddings":32768,"rms_norm_eps":1e-6,
               "rope_theta":1000000.0,"tie_word_embeddings":true})"},
    Preset{
        "qwen2.5-1.5b",
        R"({"model_type":"qwen2","vocab_size":151936,"hidden_size":1536,"num_hidden_layers":28,"num_attention_heads":12,
               "num_key_value_heads":2,"intermediate_size":8960,"max_position_embeddings":131072,"rms_norm_eps":1e-6,
               "rope_theta":1000000.0,"tie_word_embeddings":true})"},
    Preset{
        "qwen2.5-7b",
        R"({"model_type":"qwen2","vocab_size":152064,"hidden_size":3584,"num_hidden_layers":28,"num_attention_heads":28,
               "num_key_value_heads":4,"intermediate_size":18944,"max_position_embeddings":131072,"rms_norm_eps":1e-6,
               "rope_theta":1000000.0})"},
    Preset{
        "qwen3-0.6b",
        R"({"model_type":"qwen3","vocab_size":151936,"hidden_size":1024,"num_hidden_layers":28,"num_attention_heads":16,
               "num_key_value_heads":8,"head_dim":128,"intermediate_size":3072,"max_position_embeddings":40960,
               "rms_norm_eps":1e-6,"rope_theta":1000000.0,"tie_word_embeddings":true})"},
};

}  // namespace

Json model_preset(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return Json::parse(preset.json, preset.name);
    names.push_back(preset.name);
  }
  throw ConfigError(cat("model: unknown preset '", name, "'", did_you_mean(name, names)));
}

}  // namespace trireme
