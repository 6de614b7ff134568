// What a recipe says about the training loop, its evaluation and its log.
#pragma once

#include <cstdint>

namespace trireme {

struct TrainConfig {
  int64_t max_steps = 1000;    // optimizer steps of the whole run
  int64_t seed = 1;            // of initial values and dropout
  int64_t threads = 0;         // CPU threads; 0: one for each available core
  bool deterministic = false;  // the same bits from the same run, whatever is faster; a CPU always does so
  double spike_z_score = 0;    // skip a step whose loss lies this many deviations above the mean; 0: never
  int64_t spike_window = 64;   // steps over which that mean and deviation are taken

  bool operator==(const TrainConfig&) const = default;
};

struct EvalConfig {
  int64_t every = 0;        // steps between evaluations on the held-out split; 0: none
  int64_t max_batches = 0;  // micro-batches of one evaluation; 0: the whole split

  bool operator==(const EvalConfig&) const = default;
};

struct LogConfig {
  int64_t every = 1;        // steps between log lines; metrics.jsonl has every step
  bool tensorboard = true;  // also write TensorBoard events
  bool progress = true;     // a progress bar where stderr is a terminal

  bool operator==(const LogConfig&) const = default;
};

}  // namespace trireme
