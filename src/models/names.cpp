#include "models/names.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace trireme {
namespace {

const Param& find_param(const ParamTable& params, const std::string& name) {
  const auto p = std::find_if(params.begin(), params.end(), [&](const Param& q) { return q.spec.name == name; });
  CHECK(p != params.end(), "no parameter ", name);
  return *p;
}

class Names {
 public:
  explicit Names(const ParamTable& params) : params_(params) {}

  /// The whole of `ours` (weight and, if it exists, bias) as `theirs`.
  void whole(const std::string& theirs, const std::string& ours, bool transposed = false) {
    const Param& p = find_param(params_, ours);
    rows(theirs, ours, 0, p.spec.shape[0], transposed);
  }
  void rows(const std::string& theirs, const std::string& ours, int64_t begin, int64_t count, bool transposed = false) {
    const Param& p = find_param(params_, ours);
    Shape shape = p.spec.shape;
    shape[0] = count;
    if (transposed) std::swap(shape[0], shape[1]);
    out.push_back({theirs, shape, &p, begin, transposed});
  }
  bool has(const std::string& ours) const {
    return std::any_of(params_.begin(), params_.end(), [&](const Param& p) { return p.spec.name == ours; });
  }
  std::vector<DiskTensor> out;

 private:
  const ParamTable& params_;
};

void gpt2_block(Names& names, int64_t layer) {
  const std::string theirs = cat("transformer.h.", layer, "."), ours = cat("blocks.", layer, ".");
  for (const auto& [t, o] : {std::pair{"ln_1", "norm1"}, {"ln_2", "norm2"}})
    for (const char* part : {".weight", ".bias"}) names.whole(cat(theirs, t, part), cat(ours, o, part));
  for (const auto& [t, o] : {std::pair{"attn.c_attn", "attn.qkv"},
                             {"attn.c_proj", "attn.out"},
                             {"mlp.c_fc", "mlp.up"},
                             {"mlp.c_proj", "mlp.down"}}) {
    names.whole(cat(theirs, t, ".weight"), cat(ours, o, ".weight"), true);
    names.whole(cat(theirs, t, ".bias"), cat(ours, o, ".bias"));
  }
}

void llama_block(Names& names, const ModelConfig& c, int64_t layer) {
  const std::string theirs = cat("model.layers.", layer, "."), ours = cat("blocks.", layer, ".");
  names.whole(theirs + "input_layernorm.weight", ours + "norm1.weight");
  names.whole(theirs + "post_attention_layernorm.weight", ours + "norm2.weight");
  const int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  for (const std::string part : {".weight", ".bias"}) {
    if (names.has(ours + "attn.qkv" + part)) {
      names.rows(theirs + "self_attn.q_proj" + part, ours + "attn.qkv" + part, 0, q);
      names.rows(theirs + "self_attn.k_proj" + part, ours + "attn.qkv" + part, q, kv);
      names.rows(theirs + "self_attn.v_proj" + part, ours + "attn.qkv" + part, q + kv, kv);
    }
    if (names.has(ours + "attn.out" + part)) names.whole(theirs + "self_attn.o_proj" + part, ours + "attn.out" + part);
    if (names.has(ours + "mlp.gate_up" + part)) {
      names.rows(theirs + "mlp.gate_proj" + part, ours + "mlp.gate_up" + part, 0, c.intermediate_size);
      names.rows(theirs + "mlp.up_proj" + part, ours + "mlp.gate_up" + part, c.intermediate_size, c.intermediate_size);
    }
    if (names.has(ours + "mlp.down" + part)) names.whole(theirs + "mlp.down_proj" + part, ours + "mlp.down" + part);
  }
  if (c.qk_norm) {
    names.whole(theirs + "self_attn.q_norm.weight", ours + "attn.q_norm.weight");
    names.whole(theirs + "self_attn.k_norm.weight", ours + "attn.k_norm.weight");
  }
}

}  // namespace

std::vector<DiskTensor> disk_tensors(const ModelConfig& c, const ParamTable& params) {
  Names names(params);
  names.whole(c.is_gpt2() ? "transformer.wte.weight" : "model.embed_tokens.weight", "embedding.tokens.weight");
  if (c.is_gpt2()) names.whole("transformer.wpe.weight", "embedding.positions.weight");
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    if (c.is_gpt2())
      gpt2_block(names, layer);
    else
      llama_block(names, c, layer);
  }
  names.whole(c.is_gpt2() ? "transformer.ln_f.weight" : "model.norm.weight", "head.norm.weight");
  if (c.is_gpt2()) names.whole("transformer.ln_f.bias", "head.norm.bias");
  if (!c.tie_word_embeddings) names.whole("lm_head.weight", "head.weight");
  return std::move(names.out);
}

}  // namespace trireme
