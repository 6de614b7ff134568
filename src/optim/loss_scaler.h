// The factor on the loss of float16 runs, with which small gradients stay above float16's smallest number. Found while
// training as DeepSpeed does (its "fp16" section and DynamicLossScaler): a step whose gradients overflow is left out,
// and the factor halved or, hysteresis - 1 times, kept; after a window of steps without overflow it is doubled.
#pragma once

#include <string>

#include "base/json.h"
#include "optim/config.h"

namespace trireme {

class LossScaler {
 public:
  /// Parameters in another type than f16: the factor is 1, and no overflow is excused.
  explicit LossScaler(const PrecisionConfig& config);

  /// Whether an overflow is a matter of scaling at all.
  bool active() const { return active_; }
  /// Of the next step; a power of two unless the recipe gives another.
  double scale() const { return scale_; }
  /// Steps left out so far: neither the learning rate nor the optimizer counts them.
  int64_t skipped() const { return skipped_; }
  /// Why an overflow of the next step must end the run, for a message; empty where it need not.
  std::string exhausted() const;

  /// To be told of every step whether it overflowed.
  void update(bool overflow);

  Json state() const;
  /// What the recipe fixes (loss_scale) stays as the recipe has it.
  void restore(const Json& state);

 private:
  bool fixed() const { return config_.loss_scale > 0; }

  bool active_;
  LossScaling config_;
  double scale_ = 1;
  int64_t hysteresis_ = 1;  // overflows left until the factor is halved
  int64_t clean_ = 0;       // steps since the last overflow
  int64_t in_row_ = 0;      // overflows since the last step without
  int64_t skipped_ = 0;
};

}  // namespace trireme
