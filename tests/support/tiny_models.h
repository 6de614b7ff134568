// Small models and batches for tests of everything above the layers. Sizes are odd on purpose: vocabulary not
// divisible, T not a multiple of any block, grouped key-value heads.
#pragma once

#include <vector>

#include "base/random.h"
#include "models/config.h"
#include "tensor/batch.h"

namespace trireme::testing {

inline ModelConfig tiny_gpt2(double dropout = 0) {
  ModelConfig c = ModelConfig::from_json(Json::parse(
      R"({"model_type":"gpt2","vocab_size":53,"n_embd":32,"n_layer":3,"n_head":4,"n_positions":24,"n_inner":80})",
      "tiny_gpt2"));
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = dropout;
  return c;
}

inline ModelConfig tiny_llama(double dropout = 0) {
  ModelConfig c = ModelConfig::from_json(Json::parse(
      R"({"model_type":"qwen3","vocab_size":51,"hidden_size":24,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
          "head_dim":8,"intermediate_size":40,"max_position_embeddings":32,"rope_theta":1000.0,"attention_bias":true})",
      "tiny_llama"));
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = dropout;
  return c;
}

/// Micro-batches of random tokens that depend on the global sample only: rank `dp_rank` of `dp_size` gets its share,
/// dealt as the loader deals them. Some target weights are 0 and some not 1.
class TokenBatches {
 public:
  TokenBatches(int64_t vocab, int64_t batch, int64_t length, int micro_batches, int dp_rank = 0, int dp_size = 1,
               uint64_t seed = 7) {
    const int64_t n = batch * length;
    double total = 0;
    for (int64_t sample = 0; sample < batch * micro_batches * dp_size; ++sample)
      for (int64_t t = 0; t < length; ++t) total += weight(seed, sample, t);
    storage_.resize(static_cast<size_t>(micro_batches));
    for (int m = 0; m < micro_batches; ++m) {
      Storage& s = storage_[static_cast<size_t>(m)];
      for (int64_t b = 0; b < batch; ++b) {
        const int64_t sample = (static_cast<int64_t>(m) * dp_size + dp_rank) * batch + b;
        for (int64_t t = 0; t < length; ++t) {
          s.tokens.push_back(token(seed, sample, t, vocab));
          s.targets.push_back(token(seed, sample, t + 1, vocab));
          s.weights.push_back(weight(seed, sample, t));
          s.positions.push_back(static_cast<int32_t>(t));
          s.sample_ids.push_back(sample);
        }
        const int32_t begin = static_cast<int32_t>(b * length), len = static_cast<int32_t>(length);
        s.segments.push_back({begin, len, begin, len, 0, 0});
      }
      Batch out;
      out.tokens = {s.tokens.data(), DType::i32, kCpu, {n}};
      out.targets = {s.targets.data(), DType::i32, kCpu, {n}};
      out.weights = {s.weights.data(), DType::f32, kCpu, {n}};
      out.positions = {s.positions.data(), DType::i32, kCpu, {n}};
      out.sample_ids = {s.sample_ids.data(), DType::i64, kCpu, {n}};
      out.segments = s.segments;
      out.total_weight = total;
      batches.push_back(out);
    }
  }

  std::vector<Batch> batches;

 private:
  struct Storage {
    std::vector<int32_t> tokens, targets, positions;
    std::vector<float> weights;
    std::vector<int64_t> sample_ids;
    std::vector<Segment> segments;
  };
  static uint32_t bits(uint64_t seed, int64_t sample, int64_t t, uint64_t what) {
    return RandomKey::of(seed, what).draw(static_cast<uint64_t>(sample), static_cast<uint64_t>(t))[0];
  }
  static int32_t token(uint64_t seed, int64_t sample, int64_t t, int64_t vocab) {
    return static_cast<int32_t>(bits(seed, sample, t, 1) % static_cast<uint32_t>(vocab));
  }
  static float weight(uint64_t seed, int64_t sample, int64_t t) {
    const uint32_t r = bits(seed, sample, t, 2) % 8;
    return r == 0 ? 0.0F : r == 1 ? 0.5F : 1.0F;
  }
  std::vector<Storage> storage_;
};

}  // namespace trireme::testing
