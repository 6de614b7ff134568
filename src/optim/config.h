// What a recipe says about the optimizer, the learning rate and the numbers a run keeps. Plain values; app/ reads and
// checks them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace trireme {

enum class OptimizerKind : uint8_t { adamw };
constexpr std::array<std::string_view, 1> kOptimizerNames = {"adamw"};

/// How the two moments are kept.
enum class Moments : uint8_t {
  float32,
  bfloat16,  // rounded up or down by chance
  eight_bit  // shares of the largest of kCodeBlock, rounded likewise
};
constexpr std::array<std::string_view, 3> kMomentsNames = {"float32", "bfloat16", "8bit"};

struct OptimizerConfig {
  OptimizerKind name = OptimizerKind::adamw;
  double lr = 3e-4;                           // peak learning rate
  std::array<double, 2> betas = {0.9, 0.95};  // decay of the first and the second moment
  double eps = 1e-8;                          // added to the root of the second moment
  double weight_decay = 0.1;                  // decoupled; matrices only
  Moments moments = Moments::float32;
  double clip_grad_norm = 1.0;  // largest global gradient norm; 0: no clipping

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

/// How parameters that are stored in 16 bits are kept for updates.
enum class Master : uint8_t {
  float32,    // an f32 beside each
  remainder,  // bfloat16: the 16 bits that it lacks of an f32 beside each
  none        // bfloat16: by themselves, rounded up or down by chance
};
constexpr std::array<std::string_view, 3> kMasterNames = {"float32", "remainder", "none"};

/// What the products of the blocks' linear layers multiply.
enum class LinearDtype : uint8_t {
  same,   // values as they are stored
  float8  // bfloat16: values as e4m3 and gradients as e5m2, each tensor with its own scale (ops/float8.h)
};
constexpr std::array<std::string_view, 2> kLinearDtypeNames = {"same", "float8"};

/// The factor on the loss of float16 runs, with the keys and defaults of DeepSpeed's "fp16" section.
struct LossScaling {
  double loss_scale = 0;                // 0: found while training
  int64_t initial_scale_power = 16;     // the first factor so found is 2 to this power
  int64_t loss_scale_window = 1000;     // steps without overflow after which it is doubled
  int64_t hysteresis = 2;               // overflows until it is halved
  bool consecutive_hysteresis = false;  // only overflows in a row count
  double min_loss_scale = 1;            // an overflow at this factor ends the run

  bool operator==(const LossScaling&) const = default;
};

struct PrecisionConfig {
  DType param_dtype = DType::f32;   // storage of parameters and activations; sums are always f32
  Master master = Master::float32;  // float32 parameters have none
  LinearDtype linear_dtype = LinearDtype::same;
  DType grad_dtype = DType::f32;  // of sums over micro-batches of gradients that are products of matrices
  bool tf32 = false;              // products of float32 on a GPU round their operands to TF32
  LossScaling scaling;

  bool operator==(const PrecisionConfig&) const = default;
};

}  // namespace trireme
