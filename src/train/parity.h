// Whether layouts matter: trains the first steps of a run in some layout, over thread ranks of this process, and says
// how far the losses and gradient norms are from those of another one, and how far rounding may bring them.
#pragma once

#include <vector>

#include "data/config.h"
#include "data/indexed.h"
#include "optim/config.h"
#include "train/engine.h"

namespace trireme {

/// What decides the numbers of a run, whatever its layout.
struct ParityTask {
  EngineConfig engine;  // the recipe's; its layout and batches are replaced
  DataConfig data;      // micro_batch_size: the most of a rank
  ScheduleConfig schedule;
  int64_t max_steps = 1;  // of the recipe: learning rates, and some orders of data, depend on it
  int64_t steps = 3;      // that are run here
  int threads = 1;        // of all ranks together; each has one at least
};

/// The engine of a rank in this layout. Its micro-batches are the largest that give every data rank equally many.
EngineConfig parity_engine(const ParityTask& task, const ParallelConfig& parallel);

struct ParityRun {
  std::vector<double> losses;  // of each step, then of one more batch without dropout, behind the last update
  std::vector<double> norms;   // of the gradient of each step
  double gradient_rms = 0;     // of the first step: the root mean square of its elements
};

/// Runs the task on parallel.world_size() thread ranks. Weights begin as a run's do, but what a run begins with zero
/// (biases) begins off it: a mistake with it would stay hidden for many steps.
/// ConfigError where the layout is refused.
ParityRun run_parity(const ParityTask& task, const ParallelConfig& parallel, const IndexedDataset& tokens);

/// The task with an optimizer that does not magnify roundings. AdamW divides by the root of the second moment: an
/// element whose gradient is nothing but roundings moves by a whole learning rate, and one layout's moves are not
/// another's. With an epsilon of the gradient's root mean square, of `first`, such elements stay where they are.
ParityTask with_smooth_updates(ParityTask task, const ParityRun& first);

/// Relative differences that rounding explains after one step; n steps may bring n times as much.
struct ParityBound {
  double loss = 0, norm = 0;
  int64_t longest = 0;  // terms of the longest sum
};

/// Roundings are taken as independent, so that they add up like the steps of a random walk (Higham and Mary, A new
/// approach to probabilistic rounding error analysis, 2019): a sum of n terms is off by about sqrt(n) u. Four products
/// a block, and the head's, lie one behind the other: sqrt(4 (L + 1) n) u with u = 2^-24, for sums are float32. The
/// loss is a mean of N tokens, whose roundings are each their own: sqrt(N) less. A gradient has gone the way twice.
/// Storage in 16 bits rounds eight results a block besides: sqrt(8 (L + 1)) times 2^-8 (bfloat16) or 2^-11 (float16).
/// That a step adds as much again, and no more, takes smooth updates.
ParityBound parity_bound(const ParityTask& task);

struct ParityDistance {
  double loss = 0, norm = 0;  // the worst relative difference of all steps
  double of_bound = 0;  // the worst, in units of what is allowed at its step; above 1: rounding does not explain it
};

ParityDistance parity_distance(const ParityRun& reference, const ParityRun& run, const ParityBound& bound);

}  // namespace trireme
