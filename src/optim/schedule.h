// The learning rate of a step: pure functions of the recipe, so nothing of a schedule is saved or restored.
#pragma once

#include <cstdint>

#include "optim/config.h"

namespace trireme {

/// What a schedule scales: the whole run it belongs to.
struct ScheduleRun {
  double lr = 0;            // OptimizerConfig::lr
  int64_t total_steps = 0;  // TrainConfig::max_steps
  int64_t hidden_size = 0;  // noam only
};

/// Steps of linear warm-up.
int64_t warmup_steps(const ScheduleConfig& config, int64_t total_steps);

/// The learning rate with which step `step` (from 0) updates the parameters. With n = step + 1, w warm-up steps and
/// N total steps:
///   all but noam, n <= w   lr * n / w
///   constant               lr
///   linear, cosine         from lr at step w to min_lr at step N, the first one not run
///   wsd                    lr, then linearly to min_lr over the last decay * N steps (arXiv:2404.06395)
///   inverse_sqrt           lr * sqrt(w / n), not below min_lr
///   noam                   lr * C^-0.5 * min(n^-0.5, n * w^-1.5), not below min_lr once n > w (arXiv:1706.03762, 5.3);
///                          here lr is a factor, not the peak
/// inverse_sqrt and noam take w as at least 1.
double learning_rate(const ScheduleConfig& config, const ScheduleRun& run, int64_t step);

/// The largest value learning_rate takes after warm-up: what min_lr must not exceed.
double peak_learning_rate(const ScheduleConfig& config, const ScheduleRun& run);

}  // namespace trireme
