// What a recipe says about the optimizer and the learning rate. Plain values; app/ reads and checks them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace trireme {

enum class OptimizerKind : uint8_t { adamw };
constexpr std::array<std::string_view, 1> kOptimizerNames = {"adamw"};

struct OptimizerConfig {
  OptimizerKind name = OptimizerKind::adamw;
  double lr = 3e-4;                           // peak learning rate
  std::array<double, 2> betas = {0.9, 0.95};  // decay of the first and the second moment
  double eps = 1e-8;                          // added to the root of the second moment
  double weight_decay = 0.1;                  // decoupled; matrices only
  double clip_grad_norm = 1.0;                // largest global gradient norm; 0: no clipping

  bool operator==(const OptimizerConfig&) const = default;
};

enum class ScheduleKind : uint8_t { constant, linear, cosine, inverse_sqrt, noam, wsd };
constexpr std::array<std::string_view, 6> kScheduleNames = {"constant",     "linear", "cosine",
                                                            "inverse_sqrt", "noam",   "wsd"};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  double warmup = 0;   // steps of linear warm-up; below 1: fraction of all steps
  double min_lr = 0;   // where linear, cosine and wsd end; inverse_sqrt and noam do not fall below it
  double decay = 0.2;  // wsd: fraction of all steps that the final linear decay takes

  bool operator==(const ScheduleConfig&) const = default;
};

}  // namespace trireme
