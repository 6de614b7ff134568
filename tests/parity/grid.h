// The grid of this room's tests: two models, and what each case of it is called and trained as.
#pragma once

#include <string>

#include "support/layout_grid.h"
#include "support/layout_run.h"

namespace trireme::testing {

inline ModelConfig grid_model(const char* json) {
  ModelConfig model = ModelConfig::from_json(Json::parse(json, "grid model"));
  model.resid_pdrop = model.embd_pdrop = model.attn_pdrop = 0.1;
  return model;
}

/// Nine units, which no number of stages divides; vocabularies that 2 does not divide.
/// GPT-2: biases, learned positions, LayerNorm, tied head, nine heads, which no number of tensor ranks divides. Llama:
/// grouped heads, norms of q and k, RoPE, RMSNorm, biases of q, k and v, a head of its own. The third has all this, and
/// three key-value heads, each of which one to three of 4 or 8 tensor ranks have, with equal or unequal parts of the
/// four query heads that read it.
inline std::vector<ModelConfig> grid_models() {
  return {grid_model(R"({"model_type":"gpt2","vocab_size":53,"n_embd":36,"n_layer":7,"n_head":9,
                         "n_positions":24,"n_inner":80})"),
          grid_model(R"({"model_type":"qwen3","vocab_size":51,"hidden_size":32,"num_hidden_layers":7,
                         "num_attention_heads":16,"num_key_value_heads":8,"head_dim":4,
                         "intermediate_size":40,"max_position_embeddings":32,"rope_theta":1000.0,
                         "attention_bias":true})"),
          grid_model(R"({"model_type":"qwen3","vocab_size":51,"hidden_size":28,"num_hidden_layers":7,
                         "num_attention_heads":12,"num_key_value_heads":3,"head_dim":4,
                         "intermediate_size":40,"max_position_embeddings":32,"rope_theta":1000.0,
                         "attention_bias":true})")};
}
constexpr size_t kSharesHeads = 2;

/// All layouts of the models; of the third those that share key-value heads.
inline std::vector<GridCase> grid_cases(const std::vector<ModelConfig>& models) {
  std::vector<GridCase> cases = full_grid(models);
  std::erase_if(cases, [&](const GridCase& c) {
    return c.model == kSharesHeads && c.parallel.tensor <= models[c.model].num_key_value_heads;
  });
  return cases;
}

/// Micro-batches of a model's cases: the second's samples have a length that no layout divides.
inline BatchShape batch_of(size_t model) { return model == 0 ? BatchShape{2, 16} : BatchShape{2, 15}; }

inline std::string name_of(const GridCase& c) {
  const ParallelConfig& p = c.parallel;
  std::string name =
      cat(c.model == 0   ? "gpt2"
          : c.model == 1 ? "llama"
                         : "shared-heads",
          " pp", p.pipeline, " dp", p.data, " cp", p.context, " tp", p.tensor, " zero", p.zero_stage,
          " recompute=", kRecomputeNames[static_cast<size_t>(c.recompute)], " accumulation=", c.accumulation);
  if (p.sequence_parallel) name += " sequence";
  if (p.virtual_pipeline > 1) name += cat(" virtual", p.virtual_pipeline);
  return name;
}

inline Layout layout_of(const GridCase& c) {
  const ParallelConfig& p = c.parallel;
  Layout layout{.name = name_of(c)};
  layout.mesh = mesh_of(p);
  layout.zero_stage = static_cast<int>(p.zero_stage);
  layout.recompute = c.recompute;
  layout.sequence_parallel = p.sequence_parallel;
  layout.virtual_pipeline = static_cast<int>(p.virtual_pipeline);
  // One rank adds everything in this order too; a tied matrix gets its gradient from two ends.
  layout.bitwise = p.data * p.context * p.tensor == 1 && (p.pipeline == 1 || c.model == 1);
  return layout;
}

}  // namespace trireme::testing
