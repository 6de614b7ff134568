#include "optim/loss_scaler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {
// A fixed factor never changes, so nothing else would end a run that overflows at every step. A factor that is found
// falls from 2^16 to 1 in as many steps, about.
constexpr int64_t kMostInRow = 20;
}  // namespace

LossScaler::LossScaler(const PrecisionConfig& config)
    : active_(config.param_dtype == DType::f16), config_(config.scaling), hysteresis_(config_.hysteresis) {
  if (active()) scale_ = fixed() ? config_.loss_scale : std::exp2(static_cast<double>(config_.initial_scale_power));
}

std::string LossScaler::exhausted() const {
  if (!active()) return "";
  if (fixed() && in_row_ + 1 >= kMostInRow)
    return cat("gradients overflow in ", kMostInRow, " steps in a row at precision.loss_scale=", number(scale_));
  if (!fixed() && hysteresis_ == 1 && scale_ <= config_.min_loss_scale)
    return cat("gradients overflow at the smallest loss scale, precision.min_loss_scale=", number(scale_));
  return "";
}

void LossScaler::update(bool overflow) {
  if (!active()) return;
  skipped_ += overflow ? 1 : 0;
  in_row_ = overflow ? in_row_ + 1 : 0;
  if (fixed()) return;
  if (overflow) {
    clean_ = 0;
    if (hysteresis_ > 1)
      --hysteresis_;
    else
      scale_ = std::max(scale_ / 2, config_.min_loss_scale);
    return;
  }
  if (config_.consecutive_hysteresis) hysteresis_ = config_.hysteresis;
  if (++clean_ % config_.loss_scale_window != 0) return;
  hysteresis_ = config_.hysteresis;
  scale_ *= 2;
}

Json LossScaler::state() const {
  Json state = Json::object();
  state["scale"] = scale_;
  state["hysteresis"] = hysteresis_;
  state["clean_steps"] = clean_;
  state["overflows_in_a_row"] = in_row_;
  state["skipped_steps"] = skipped_;
  return state;
}

void LossScaler::restore(const Json& state) {
  skipped_ = state.at("skipped_steps").as_integer();
  if (!active()) return;
  in_row_ = state.at("overflows_in_a_row").as_integer();
  if (fixed()) return;
  scale_ = state.at("scale").as_real();
  hysteresis_ = std::min(state.at("hysteresis").as_integer(), config_.hysteresis);
  clean_ = state.at("clean_steps").as_integer();
}

}  // namespace trireme
