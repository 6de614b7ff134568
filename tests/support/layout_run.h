// Trains a tiny model on thread ranks in some layout and compares what comes out with another layout's: loss, gradient
// norm, every gradient, weights after two updates. Can make mistakes on purpose, to see whether they are noticed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "comm/local.h"
#include "params/init.h"
#include "support/faulty_group.h"
#include "support/gather.h"
#include "support/tiny_models.h"

namespace trireme::testing {

struct Layout {
  std::string name;
  Mesh mesh = {};
  int zero_stage = 0;
  Recompute recompute = Recompute::none;
  bool bitwise = false;  // sums keep their order
  bool sequence_parallel = false;
  int virtual_pipeline = 1;
  DType dtype = DType::f32;   // of parameters and activations
  RecomputeSplit split = {};  // where recompute is automatic
};

struct Outcome {
  std::vector<double> losses, norms;  // losses of each step: its loss, then one without dropout after the update
  GlobalTensors gradients, weights;   // gradients of the first step; weights where they are f32
};

/// What a test does wrongly on purpose.
struct Defect {
  Fault tensor, data, context;        // of the groups on these axes
  bool biases_on_every_rank = false;  // the bias behind a row-parallel product is added by each tensor rank
  bool loses_micro_batch = false;     // the first micro-batch twice, in place of the second
};

inline void set(const Tensor& t, int64_t i, float value) {
  if (t.dtype == DType::f32)
    t.f32()[i] = value;
  else
    t.as<bf16_t>()[i] = to_bf16(value);
}

/// The usual initial values, but biases behind row-parallel products that differ from zero and between channels (a norm
/// takes out what all channels share). Adding one on each of n tensor ranks is adding n times its value on the first.
inline void initialise(Engine& engine, const Group& tp, bool biases_on_every_rank, ThreadPool& pool) {
  const float size = biases_on_every_rank ? static_cast<float>(tp.size()) : 1.0F;
  engine.param_store().assign([&](Param& p) {
    init_param(p, engine.config().seed, pool);
    if (p.spec.name.find("out.bias") == std::string::npos && p.spec.name.find("down.bias") == std::string::npos) return;
    for (int64_t i = 0; i < p.value.numel(); ++i) set(p.value, i, 0.02F * static_cast<float>(i % 5) * size);
  });
  engine.weights_changed();
}

/// Samples of a micro-batch and their length.
struct BatchShape {
  int64_t samples = 2, length = 12;
};

/// `micro_batches`: of all data ranks together.
inline EngineConfig engine_config(const ModelConfig& model, const Layout& layout, int micro_batches,
                                  const BatchShape& shape) {
  EngineConfig config;
  config.model = model;
  config.memory.recompute = layout.recompute;
  config.split = layout.split;
  config.precision.param_dtype = layout.dtype;
  config.zero_stage = layout.zero_stage;
  config.sequence_parallel = layout.sequence_parallel;
  config.virtual_pipeline = layout.virtual_pipeline;
  config.micro_batch_size = shape.samples;
  config.sequence_length = shape.length;
  config.micro_batches = micro_batches / layout.mesh.dp;
  config.seed = 5;
  return config;
}

/// A step's batches for a data rank's engine.
inline TokenBatches step_data(const EngineConfig& config, const Groups& groups, uint64_t seed) {
  return {config.model.vocab_size,
          config.micro_batch_size,
          config.sequence_length,
          config.micro_batches,
          groups.dp->rank(),
          groups.dp->size(),
          seed};
}

/// A training to compare: its model, layout, micro-batches of all data ranks together, and what goes wrong in it.
struct LayoutTask {
  const ModelConfig& model;
  const Layout& layout;
  int micro_batches = 1;
  const Defect& defect;
  BatchShape shape;
};

/// Two steps of one rank; what it knows of the outcome is added to `out` under `mutex`.
inline void train_rank(Outcome& out, std::mutex& mutex, const LayoutTask& task, int rank, const Groups& healthy) {
  const auto& [model, layout, micro_batches, defect, shape] = task;
  FaultyGroup tp(*healthy.tp, defect.tensor), replicas(*healthy.dp_cp, defect.data), cp(*healthy.cp, defect.context);
  Groups groups = healthy;
  groups.tp = &tp;
  groups.dp_cp = &replicas;
  groups.cp = &cp;
  ThreadPool pool(1);
  EngineConfig config = engine_config(model, layout, micro_batches, shape);
  config.optimizer.clip_grad_norm = 0.5;
  Engine engine(config, groups, pool);
  engine.set_poison(true);
  initialise(engine, tp, defect.biases_on_every_rank, pool);
  for (int step = 0; step < 2; ++step) {
    TokenBatches data = step_data(config, groups, 7 + static_cast<uint64_t>(step));
    if (defect.loses_micro_batch) data.batches[1] = data.batches[0];
    const double loss = engine.forward_backward(data.batches, step);
    const double norm = engine.gradient_norm(data.batches, step);
    if (step == 0) gather(out.gradients, mutex, engine, true);
    engine.update(step, 1e-2);
    double held_out = 0;
    for (const Batch& batch : data.batches) held_out += engine.evaluate(batch);
    held_out = groups.dp->all_reduce(held_out, ReduceOp::sum) / data.batches[0].total_weight;
    if (rank == 0) {
      const std::lock_guard lock(mutex);
      out.losses.insert(out.losses.end(), {loss, held_out});
      out.norms.push_back(norm);
    }
  }
  if (layout.dtype == DType::f32) gather(out.weights, mutex, engine, false);
  EXPECT_EQ(engine.allocated_bytes(), engine.memory_plan().total());
  const ArenaSizes peaks = engine.arena_peaks(), &planned = engine.memory_plan().arenas;
  EXPECT_EQ(peaks.keep, planned.keep);
  EXPECT_EQ(peaks.rebuild, planned.rebuild);
  EXPECT_EQ(peaks.temp, planned.temp);
  EXPECT_EQ(peaks.carry, planned.carry);
}

/// Two steps on thread ranks. `micro_batches`: of all data ranks together.
inline Outcome train(const ModelConfig& model, const Layout& layout, int micro_batches, const Defect& defect = {},
                     const BatchShape& shape = {}) {
  Outcome out;
  std::mutex mutex;
  run_local_ranks(layout.mesh, [&](int rank, const Groups& groups) {
    train_rank(out, mutex, {model, layout, micro_batches, defect, shape}, rank, groups);
  });
  return out;
}

/// How far two runs are apart: losses and norms relative, tensors relative to their largest element, the worst of all.
struct Distance {
  double loss = 0, norm = 0, gradient = 0, weight = 0;
};

inline double distance(const std::vector<double>& expected, const std::vector<double>& found) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(expected[i] - found.at(i)) / expected[i]);
  return worst;
}

inline double distance(const GlobalTensors& expected, const GlobalTensors& found) {
  double worst = 0;
  for (const auto& [name, whole] : expected) {
    const std::vector<float>& other = found.at(name);
    EXPECT_EQ(whole.size(), other.size()) << name;
    double largest = 1e-30, difference = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(whole[i])));
      difference = std::max(difference, std::abs(static_cast<double>(whole[i]) - other[i]));
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

inline Distance distance(const Outcome& expected, const Outcome& found) {
  return {distance(expected.losses, found.losses), distance(expected.norms, found.norms),
          distance(expected.gradients, found.gradients), distance(expected.weights, found.weights)};
}

}  // namespace trireme::testing
