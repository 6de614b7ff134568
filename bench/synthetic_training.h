// Training steps of an engine on random tokens, one batch again and again: everything of a step but the reader.
#pragma once

#include <vector>

#include "base/random.h"
#include "train/engine.h"

namespace trireme {

class SyntheticTraining {
 public:
  SyntheticTraining(const EngineConfig& config, ThreadPool& pool) : engine_(config, Groups::alone(single_), pool) {
    engine_.initialise();
    const int64_t tokens = config.tokens(), length = config.sequence_length;
    const auto vocab = static_cast<uint32_t>(config.model.vocab_size);
    for (int64_t i = 0; i < tokens + 1; ++i)
      ids_.push_back(static_cast<int32_t>(RandomKey::of(1, 2).draw(0, static_cast<uint64_t>(i))[0] % vocab));
    for (int64_t b = 0; b < config.micro_batch_size; ++b) {
      const auto begin = static_cast<int32_t>(b * length), count = static_cast<int32_t>(length);
      segments_.push_back({begin, count, begin, count, 0, 0});
      for (int32_t t = 0; t < count; ++t) positions_.push_back(t);
    }
    weights_.assign(positions_.size(), 1.0F);
    samples_.assign(positions_.size(), 0);
    Batch batch;
    batch.tokens = {ids_.data(), DType::i32, kCpu, {tokens}};
    batch.targets = {ids_.data() + 1, DType::i32, kCpu, {tokens}};
    batch.positions = {positions_.data(), DType::i32, kCpu, {tokens}};
    batch.weights = {weights_.data(), DType::f32, kCpu, {tokens}};
    batch.sample_ids = {samples_.data(), DType::i64, kCpu, {tokens}};
    batch.segments = segments_;
    batch.total_weight = static_cast<double>(tokens * config.micro_batches);
    batches_.assign(static_cast<size_t>(config.micro_batches), batch);
  }

  /// One optimizer step with clipping; returns its loss when the device is done.
  double step() {
    const double loss = engine_.train(batches_, step_, 1e-4).loss;
    engine_.synchronize();
    ++step_;
    return loss;
  }
  Engine& engine() { return engine_; }

 private:
  SingleGroup single_;
  Engine engine_;
  std::vector<int32_t> ids_, positions_;
  std::vector<float> weights_;
  std::vector<int64_t> samples_;
  std::vector<Segment> segments_;
  std::vector<Batch> batches_;
  int64_t step_ = 0;
};

}  // namespace trireme
