#include "models/model.h"

#include <cmath>
#include <numbers>

#include "layers/embedding.h"
#include "layers/head.h"
#include "models/block.h"

namespace trireme {
namespace {

// Random sites: stable names of the places that draw dropout, equal in every layout.
constexpr uint64_t kEmbeddingSite = 1;
constexpr uint64_t block_site(int64_t layer, uint64_t place) { return 16 + static_cast<uint64_t>(layer) * 4 + place; }

class EmbeddingUnit final : public Unit {
 public:
  EmbeddingUnit(const ParamBuilder& params, const EmbeddingConfig& config, const LayerGroups& groups)
      : embedding_(params, config, groups) {}
  void set_slots(int) override {}
  void forward(Ctx& ctx, const Batch& batch, int, const Stream&, Tensor, const Stream& out) override {
    embedding_.forward(ctx, out.residual, batch);
  }
  void backward(Ctx& ctx, const Batch& batch, int, Tensor g) override { embedding_.backward(ctx, g, batch); }

 private:
  Embedding embedding_;
};

class LmHeadUnit final : public HeadUnit {
 public:
  LmHeadUnit(const ParamBuilder& params, const HeadConfig& head, NormKind norm, float eps, const LayerGroups& groups)
      : norm_(params, "norm", norm, head.hidden, eps, groups.sequence_parallel()), head_(params, head, groups) {}

  void loss(Ctx& ctx, const Batch& batch, Tensor sum, Tensor g, const Stream& in) override {
    const ArenaScope keep(*ctx.keep);
    const ArenaScope temp(*ctx.temp);
    Norm::Saved saved;
    Tensor x;
    const Tensor y = normed(ctx, x, in, saved);
    head_.loss(ctx, sum, g, y, batch);
    if (g.defined()) norm_.backward(ctx, g, g, x, saved, false);
  }

  void logits(Ctx& ctx, Tensor out, const Stream& in) override {
    const ArenaScope keep(*ctx.keep);
    const ArenaScope temp(*ctx.temp);
    if (!in.delta.defined()) {
      const NormArgs norm = norm_.args();
      return head_.logits(ctx, out, in.residual, &norm);
    }
    Norm::Saved saved;
    Tensor x;
    head_.logits(ctx, out, normed(ctx, x, in, saved));
  }

 private:
  Tensor normed(Ctx& ctx, Tensor& x, const Stream& in, Norm::Saved& saved) const {
    const Tensor sum = in.delta.defined() ? ctx.temp->take(in.residual.dtype, in.residual.shape) : Tensor();
    x = sum.defined() ? sum : in.residual;
    const Tensor y = ctx.temp->take(x.dtype, x.shape);
    norm_.forward(ctx, y, sum, in.residual, in.delta, saved);
    return y;
  }
  Norm norm_;
  Head head_;
};

/// Inverse frequencies after Llama-3's scaling: long waves slowed by the factor, short ones kept, between them a blend.
double scaled_frequency(const ModelConfig& c, double f) {
  if (c.rope_scaling == RopeScaling::none) return f;
  if (c.rope_scaling == RopeScaling::linear) return f / c.rope_factor;
  const double wavelength = 2 * std::numbers::pi / f;
  const double original = static_cast<double>(c.rope_original_max_position);
  if (wavelength < original / c.rope_high_freq_factor) return f;
  if (wavelength > original / c.rope_low_freq_factor) return f / c.rope_factor;
  const double s =
      (original / wavelength - c.rope_low_freq_factor) / (c.rope_high_freq_factor - c.rope_low_freq_factor);
  return (1 - s) * f / c.rope_factor + s * f;
}

/// Rows of cos, then sin of position * frequency, in double until stored.
Buffer make_rope_table(const ModelConfig& c, int64_t positions, Device device) {
  const int64_t half = c.head_dim / 2;
  Buffer table("rope table", kCpu, positions * c.head_dim * dtype_size(DType::f32));
  auto* row = static_cast<float*>(table.data());
  for (int64_t p = 0; p < positions; ++p, row += c.head_dim)
    for (int64_t i = 0; i < half; ++i) {
      const double f = std::pow(c.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(c.head_dim));
      const double angle = static_cast<double>(p) * scaled_frequency(c, f);
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  if (device == kCpu) return table;
  Buffer there("rope table", device, table.bytes());
  copy_memory(device, there.data(), kCpu, table.data(), table.bytes());
  return there;
}

BlockConfig block_config(const ModelConfig& c, const BuildOptions& options, int64_t layer) {
  const float std = static_cast<float>(c.initializer_range);
  // GPT-2 (Radford et al., 2019, 2.3): what writes to the residual stream starts smaller by the root of its writes.
  const float out_std = c.is_gpt2() ? std / std::sqrt(2.0F * static_cast<float>(c.num_hidden_layers)) : std;
  const bool cheap = layer >= options.cheap_begin && layer < options.cheap_end;
  const bool activation = cheap || (layer >= options.cheap_end && layer < options.activation_end);
  BlockConfig b;
  b.attention = {.hidden = c.hidden_size,
                 .heads = c.num_attention_heads,
                 .kv_heads = c.num_key_value_heads,
                 .head_dim = c.head_dim,
                 .qkv_bias = c.qkv_bias,
                 .out_bias = c.out_bias,
                 .qk_norm = c.qk_norm,
                 .norm_eps = static_cast<float>(c.norm_eps),
                 .window = c.sliding_window,
                 .dropout = static_cast<float>(c.attn_pdrop),
                 .init_std = std,
                 .out_init_std = out_std,
                 .layer = static_cast<int>(layer),
                 .site = block_site(layer, 0),
                 .float8 = options.float8,
                 .keeps_inputs = options.float8 && !cheap};
  b.mlp = {.kind = c.mlp_kind(),
           .hidden = c.hidden_size,
           .intermediate = c.intermediate_size,
           .bias = c.mlp_bias,
           .init_std = std,
           .out_init_std = out_std,
           .recompute_activation = activation,
           .float8 = options.float8,
           .keeps_input = options.float8 && !cheap};
  b.norm = c.norm_kind();
  b.norm_eps = static_cast<float>(c.norm_eps);
  b.dropout = static_cast<float>(c.resid_pdrop);
  b.attention_site = block_site(layer, 1);
  b.mlp_site = block_site(layer, 2);
  b.recompute_norms = cheap;
  b.float8 = options.float8;
  return b;
}

}  // namespace

Model build_model(const ModelConfig& c, const LayerGroups& groups, const BuildOptions& options) {
  const Group& tp = groups.tp();
  CHECK(c.vocab_size > 0, "the vocabulary size must be known");
  if (c.num_attention_heads < tp.size())
    throw ConfigError(cat("parallel.tensor=", tp.size(), " is more than the model's ", c.num_attention_heads,
                          " query heads: some rank would have none"));
  Model model;
  model.hidden_size = c.hidden_size;
  model.vocab_size = c.vocab_size;
  const int64_t positions = options.positions > 0 ? options.positions : c.max_position_embeddings;
  if (!c.is_gpt2()) model.rope_table = make_rope_table(c, positions, options.device);
  const float std = static_cast<float>(c.initializer_range);
  const ParamBuilder root(model.params, tp.rank(), tp.size());
  const EmbeddingConfig embedding{.vocab = c.vocab_size,
                                  .hidden = c.hidden_size,
                                  .positions = c.is_gpt2() ? c.max_position_embeddings : 0,
                                  .dropout = static_cast<float>(c.embd_pdrop),
                                  .site = kEmbeddingSite,
                                  .init_std = std,
                                  .position_init_std = std};
  model.units.push_back(std::make_unique<EmbeddingUnit>(root.scoped("embedding").for_unit(0), embedding, groups));
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    BlockConfig block = block_config(c, options, layer);
    if (!c.is_gpt2()) block.attention.rope_table = model.rope_table.view(DType::f32, {positions, c.head_dim});
    model.units.push_back(std::make_unique<Block>(
        root.scoped(cat("blocks.", layer)).for_unit(static_cast<int>(layer) + 1), block, groups));
  }
  const HeadConfig head{.vocab = c.vocab_size,
                        .hidden = c.hidden_size,
                        .tied_to = c.tie_word_embeddings ? "embedding.tokens.weight" : "",
                        .init_std = std};
  model.head = std::make_unique<LmHeadUnit>(root.scoped("head").for_unit(static_cast<int>(c.num_hidden_layers) + 1),
                                            head, c.norm_kind(), static_cast<float>(c.norm_eps), groups);
  return model;
}

int64_t count_parameters(const ParamTable& params) {
  int64_t sum = 0;
  for (const Param& p : params)
    if (p.spec.tied_to.empty()) sum += p.spec.shape.numel();
  return sum;
}

}  // namespace trireme
