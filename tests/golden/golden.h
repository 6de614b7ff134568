// Reads a model's golden folder, made by make_models.py: a Hugging Face directory, and beside it what PyTorch computed.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/shards.h"
#include "models/config.h"
#include "tensor/batch.h"

namespace trireme::testing {

/// A float tensor of golden.safetensors.
struct GoldenArray {
  Shape shape;
  std::vector<float> values;
};

class Golden {
 public:
  /// `folder` ends in a slash.
  explicit Golden(const std::string& folder)
      : config(ModelConfig::from_json(read_json(folder + "config.json"))),
        weights(folder),
        facts(read_json(folder + "golden.json")),
        file_(folder + "golden.safetensors") {}

  ModelConfig config;
  WeightFiles weights;
  Json facts;  // golden.json

  GoldenArray array(const std::string& name) const {
    const StoredTensor stored = find(name);
    GoldenArray out{stored.shape, std::vector<float>(static_cast<size_t>(stored.shape.numel()))};
    stored.read(Tensor(out.values.data(), DType::f32, kCpu, stored.shape));
    return out;
  }

  /// Tokens of any shape.
  std::vector<int32_t> tokens(const std::string& name) const {
    const StoredTensor stored = find(name);
    std::vector<int32_t> out(static_cast<size_t>(stored.shape.numel()));
    stored.read(Tensor(out.data(), DType::i32, kCpu, stored.shape));
    return out;
  }
  Shape shape(const std::string& name) const { return find(name).shape; }

  /// A list of facts["plain" or "accum"], "loss" or "grad_norm".
  std::vector<double> list(const std::string& run, const std::string& what) const {
    std::vector<double> out;
    for (const Json& value : facts.at(run).at(what).items()) out.push_back(value.as_real());
    return out;
  }

 private:
  StoredTensor find(const std::string& name) const {
    for (const SafetensorsEntry& e : file_.header().entries) {
      if (e.name != name) continue;
      StoredTensor out{.name = name, .dtype = *e.dtype, .shape = {}, .parts = {}, .file = file_.path()};
      out.shape.rank = static_cast<int>(e.shape.size());
      std::copy(e.shape.begin(), e.shape.end(), out.shape.sizes.begin());
      out.parts.push_back({whole_box(out.shape), file_.bytes(e)});
      return out;
    }
    throw IoError(cat(file_.path(), " has no tensor ", name));
  }
  SafetensorsFile file_;
};

/// Micro-batches of one step, from tokens (B, T+1) of each and, where not empty, weights (B, T) of their targets.
class GoldenStep {
 public:
  GoldenStep(std::span<const int32_t> tokens, std::span<const float> weights, int micro_batches, int64_t batch,
             int64_t length)
      : storage_(static_cast<size_t>(micro_batches)) {
    const int64_t n = batch * length;
    double total = 0;
    const int32_t* row = tokens.data();
    for (size_t m = 0; m < storage_.size(); ++m) {
      Storage& s = storage_[m];
      for (int64_t b = 0; b < batch; ++b, row += length + 1) {
        s.tokens.insert(s.tokens.end(), row, row + length);
        s.targets.insert(s.targets.end(), row + 1, row + length + 1);
        for (int64_t t = 0; t < length; ++t) s.positions.push_back(static_cast<int32_t>(t));
        const int32_t begin = static_cast<int32_t>(b * length), len = static_cast<int32_t>(length);
        s.segments.push_back({begin, len, begin, len, 0, 0});
      }
      s.sample_ids.assign(static_cast<size_t>(n), 0);
      s.weights.assign(static_cast<size_t>(n), 1.0F);
      if (!weights.empty()) {
        const auto of_batch = weights.subspan(m * static_cast<size_t>(n), static_cast<size_t>(n));
        s.weights.assign(of_batch.begin(), of_batch.end());
      }
      for (const float w : s.weights) total += w;
    }
    for (Storage& s : storage_) {
      Batch& out = batches.emplace_back();
      out.tokens = {s.tokens.data(), DType::i32, kCpu, {n}};
      out.targets = {s.targets.data(), DType::i32, kCpu, {n}};
      out.weights = {s.weights.data(), DType::f32, kCpu, {n}};
      out.positions = {s.positions.data(), DType::i32, kCpu, {n}};
      out.sample_ids = {s.sample_ids.data(), DType::i64, kCpu, {n}};
      out.segments = s.segments;
      out.total_weight = total;
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
  std::vector<Storage> storage_;
};

}  // namespace trireme::testing
