#include "train/parity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "comm/local.h"
#include "data/loader.h"
#include "optim/schedule.h"
#include "params/init.h"
#include "train/layouts.h"

namespace trireme {
namespace {

/// The steps of one rank.
ParityRun run_rank(const ParityTask& task, const EngineConfig& config, const Groups& groups,
                   const IndexedDataset& tokens, ThreadPool& pool) {
  constexpr float kOffZero = 0.1F;
  Engine engine(config, groups, pool);
  engine.param_store().assign([&](Param& param) {
    Param begin = param;
    if (begin.spec.init == Init::zeros) {
      begin.spec.init = Init::normal;
      begin.spec.init_std = kOffZero;
    }
    init_param(begin, config.seed, pool);
  });
  engine.weights_changed();

  const DataConfig& data = task.data;
  const int64_t num_samples = std::max(task.max_steps, task.steps + 1) * data.global_batch_size;
  Loader loader(make_order(tokens, data, DataPart::train, num_samples), {.sequence_length = data.sequence_length,
                                                                         .micro_batch_size = config.micro_batch_size,
                                                                         .global_batch_size = data.global_batch_size,
                                                                         .dp_rank = groups.dp->rank(),
                                                                         .dp_size = groups.dp->size(),
                                                                         .num_steps = task.steps + 1});
  ParityRun run;
  for (int64_t step = 0; step < task.steps; ++step) {
    const std::span<const Batch> batches = loader.next();
    const double lr =
        learning_rate(task.schedule, {config.optimizer.lr, task.max_steps, config.model.hidden_size}, step);
    double loss = 0, norm = 0;
    do {  // a float16 step that overflows changes nothing but the loss scale
      loss = engine.forward_backward(batches, step);
      norm = engine.gradient_norm(batches, step);
      engine.update(step + engine.loss_scaler().skipped(), lr);
    } while (!std::isfinite(norm));
    run.losses.push_back(loss);
    run.norms.push_back(norm);
  }
  run.gradient_rms = run.norms[0] / std::sqrt(static_cast<double>(engine.memory_plan().num_parameters));
  const std::span<const Batch> batches = loader.next();
  double sum = 0;
  for (const Batch& batch : batches) sum += engine.evaluate(batch);
  run.losses.push_back(groups.dp->all_reduce(sum, ReduceOp::sum) / batches[0].total_weight);
  return run;
}

/// The worst relative difference, and the worst in units of (row + 1) * bound; NaN where there is one.
void compare(const std::vector<double>& reference, const std::vector<double>& found, double bound, double& worst,
             double& of_bound) {
  CHECK(reference.size() == found.size(), found.size(), " values beside ", reference.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(found[i] - reference[i]) / std::abs(reference[i]);
    const double share = difference / (bound * static_cast<double>(i + 1));
    if (!(difference <= worst)) worst = difference;
    if (!(share <= of_bound)) of_bound = share;
  }
}

}  // namespace

EngineConfig parity_engine(const ParityTask& task, const ParallelConfig& parallel) {
  const int64_t global = task.data.global_batch_size;
  if (global % parallel.data != 0)
    throw ConfigError(cat("data.global_batch_size=", global, " is not a multiple of parallel.data=", parallel.data,
                          ": each rank must get equally many samples"));
  EngineConfig config = task.engine;
  config.zero_stage = static_cast<int>(parallel.zero_stage);
  config.virtual_pipeline = static_cast<int>(parallel.virtual_pipeline);
  config.sequence_parallel = parallel.sequence_parallel;
  config.sequence_length = task.data.sequence_length;
  config.micro_batch_size = std::gcd(task.data.micro_batch_size, global / parallel.data);
  config.micro_batches = static_cast<int>(global / parallel.data / config.micro_batch_size);
  config.device = kCpu;
  return config;
}

ParityRun run_parity(const ParityTask& task, const ParallelConfig& parallel, const IndexedDataset& tokens) {
  const EngineConfig config = parity_engine(task, parallel);
  const int threads = std::max(1, task.threads / static_cast<int>(parallel.world_size()));
  ParityRun first;
  run_local_ranks(mesh_of(parallel), [&](int rank, const Groups& groups) {
    ThreadPool pool(threads);
    ParityRun run = run_rank(task, config, groups, tokens, pool);
    if (rank == 0) first = std::move(run);
  });
  return first;
}

ParityTask with_smooth_updates(ParityTask task, const ParityRun& first) {
  task.engine.optimizer.eps = std::max(task.engine.optimizer.eps, first.gradient_rms);
  return task;
}

ParityBound parity_bound(const ParityTask& task) {
  const ModelConfig& model = task.engine.model;
  const DType dtype = task.engine.precision.param_dtype;
  const int64_t tokens = task.data.global_batch_size * task.data.sequence_length;
  ParityBound bound;
  bound.longest = std::max({tokens, model.vocab_size, model.intermediate_size, model.hidden_size});
  const double layers = static_cast<double>(model.num_hidden_layers + 1);
  const double sums = std::sqrt(4 * layers * static_cast<double>(bound.longest)) * 0x1p-24;
  const double storage = dtype == DType::f32 ? 0 : std::sqrt(8 * layers) * (dtype == DType::bf16 ? 0x1p-8 : 0x1p-11);
  bound.loss = sums / std::sqrt(static_cast<double>(tokens)) + storage;
  bound.norm = 2 * (sums + storage);
  return bound;
}

ParityDistance parity_distance(const ParityRun& reference, const ParityRun& run, const ParityBound& bound) {
  ParityDistance distance;
  compare(reference.losses, run.losses, bound.loss, distance.loss, distance.of_bound);
  compare(reference.norms, run.norms, bound.norm, distance.norm, distance.of_bound);
  return distance;
}

}  // namespace trireme
