// Finds loss spikes by z-score over the last losses. Part of the trainer's state, so that a resumed run skips the same
// steps.
#pragma once

#include <cmath>
#include <vector>

#include "base/json.h"

namespace trireme {

class SpikeDetector {
 public:
  /// `z_score` 0: never a spike.
  SpikeDetector(double z_score, int64_t window) : z_score_(z_score), window_(static_cast<size_t>(window)) {}

  bool active() const { return z_score_ > 0; }
  /// True where `loss` lies z_score deviations above the mean of the last `window` losses. Other losses join the
  /// window.
  bool is_spike(double loss) {
    if (!active()) return false;
    if (losses_.size() == window_) {
      double mean = 0, variance = 0;
      for (const double l : losses_) mean += l;
      mean /= static_cast<double>(window_);
      for (const double l : losses_) variance += (l - mean) * (l - mean);
      const double deviation = std::sqrt(variance / static_cast<double>(window_));
      if (loss > mean + z_score_ * deviation && deviation > 0) return true;
      losses_.erase(losses_.begin());
    }
    losses_.push_back(loss);
    return false;
  }

  Json state() const {
    Json list = Json::array();
    for (const double l : losses_) list.push_back(l);
    return list;
  }
  void restore(const Json& state) {
    losses_.clear();
    for (const Json& l : state.items()) losses_.push_back(l.as_real());
    if (losses_.size() > window_) losses_.erase(losses_.begin(), losses_.end() - static_cast<std::ptrdiff_t>(window_));
  }

 private:
  double z_score_;
  size_t window_;
  std::vector<double> losses_;
};

}  // namespace trireme
