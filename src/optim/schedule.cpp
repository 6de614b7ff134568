#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme {
namespace {

double between(double from, double to, double share) { return from + (to - from) * share; }

/// How far `at` lies on the way from `begin` to `end`, in [0, 1].
double share_of(double at, double begin, double end) {
  return begin < end ? std::clamp((at - begin) / (end - begin), 0.0, 1.0) : 1.0;
}

}  // namespace

int64_t warmup_steps(const ScheduleConfig& config, int64_t total_steps) {
  const double steps = config.warmup < 1 ? config.warmup * static_cast<double>(total_steps) : config.warmup;
  return std::llround(steps);
}

double peak_learning_rate(const ScheduleConfig& config, const ScheduleRun& run) {
  if (config.kind != ScheduleKind::noam) return run.lr;
  const auto warmup = static_cast<double>(std::max<int64_t>(1, warmup_steps(config, run.total_steps)));
  return run.lr / std::sqrt(static_cast<double>(run.hidden_size) * warmup);
}

double learning_rate(const ScheduleConfig& config, const ScheduleRun& run, int64_t step) {
  const int64_t warmup = warmup_steps(config, run.total_steps);
  const auto n = static_cast<double>(step + 1);
  const double peak = peak_learning_rate(config, run);
  const bool rooted = config.kind == ScheduleKind::inverse_sqrt || config.kind == ScheduleKind::noam;
  const auto w = static_cast<double>(rooted ? std::max<int64_t>(1, warmup) : warmup);
  if (n <= w) return peak * n / w;
  if (rooted) return std::max(config.min_lr, peak * std::sqrt(w / n));

  const auto total = static_cast<double>(run.total_steps), at = static_cast<double>(step);
  switch (config.kind) {
    case ScheduleKind::linear: return between(peak, config.min_lr, share_of(at, w, total));
    case ScheduleKind::cosine: {
      const double wave = std::cos(std::numbers::pi * share_of(at, w, total));
      return between(config.min_lr, peak, 0.5 * (1 + wave));
    }
    case ScheduleKind::wsd: {
      const double begin = std::max(w, total - std::round(config.decay * total));
      return at < begin ? peak : between(peak, config.min_lr, share_of(at, begin, total));
    }
    default: return peak;
  }
}

}  // namespace trireme
