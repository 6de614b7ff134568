// The loss scale step by step, as DeepSpeed's documentation of "fp16" has it.
#include "optim/loss_scaler.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace trireme {
namespace {

PrecisionConfig float16() {
  PrecisionConfig c;
  c.param_dtype = DType::f16;
  return c;
}

/// The scales of the steps after those of `pattern`: 'x' overflows, '.' does not.
std::string scales_after(LossScaler scaler, const std::string& pattern) {
  std::string scales;
  for (const char step : pattern) {
    scaler.update(step == 'x');
    scales += cat(scales.empty() ? "" : " ", static_cast<int64_t>(scaler.scale()));
  }
  return scales;
}

TEST(LossScaler, StartsWithTheDefaultsOfDeepSpeed) {
  const LossScaler scaler(float16());
  EXPECT_EQ(scaler.scale(), 65536);
  EXPECT_EQ(scaler.skipped(), 0);
  EXPECT_EQ(scaler.exhausted(), "");
}

TEST(LossScaler, FollowsTheTable) {
  PrecisionConfig c = float16();
  c.scaling.initial_scale_power = 4;
  c.scaling.loss_scale_window = 3;
  struct Row {
    int64_t hysteresis;
    bool consecutive;
    const char *steps, *scales;
  };
  const Row table[] = {
      // The third clean step doubles, and the count begins anew.
      {1, false, "......", "16 16 32 32 32 64"},
      // One life: each overflow halves, and clean steps count from it.
      {1, false, "x...", "8 8 8 16"},
      {1, false, "..x...", "16 16 8 8 8 16"},
      // Two lives: the first overflow is forgiven, further ones are not ...
      {2, false, "xxx", "16 8 4"},
      {2, false, "x.x.x", "16 16 8 8 4"},
      // ... until a window without overflow gives them back.
      {2, false, "x...x", "16 16 16 32 32"},
      {2, false, "xx...xx", "16 8 8 8 16 16 8"},
      // Three lives.
      {3, false, "xxxx", "16 16 8 4"},
      // In a row only: a clean step gives all lives back.
      {2, true, "x.x.xx", "16 16 16 16 16 8"},
      {2, true, "xxx.xx", "16 8 4 4 4 2"},
      // Never below the minimum.
      {1, false, "xxxxxx", "8 4 2 1 1 1"},
  };
  for (const Row& row : table) {
    c.scaling.hysteresis = row.hysteresis;
    c.scaling.consecutive_hysteresis = row.consecutive;
    EXPECT_EQ(scales_after(LossScaler(c), row.steps), row.scales) << row.hysteresis << " " << row.steps;
  }
}

TEST(LossScaler, AnOverflowAtTheMinimumEndsTheRunOnceNoLifeIsLeft) {
  PrecisionConfig c = float16();
  c.scaling.initial_scale_power = 1;
  LossScaler scaler(c);
  for (const double scale : {2.0, 2.0, 1.0}) {  // the first is forgiven
    EXPECT_EQ(scaler.scale(), scale);
    EXPECT_EQ(scaler.exhausted().empty(), scale > 1);
    scaler.update(true);
  }
  EXPECT_NE(scaler.exhausted().find("precision.min_loss_scale=1"), std::string::npos);
}

TEST(LossScaler, AFixedScaleStaysAndSkipsAndGivesUpAfterTwentyInARow) {
  PrecisionConfig c = float16();
  c.scaling.loss_scale = 128;
  c.scaling.loss_scale_window = 1;
  LossScaler scaler(c);
  for (int i = 0; i < 19; ++i) {
    EXPECT_EQ(scaler.exhausted(), "");
    scaler.update(true);
  }
  EXPECT_NE(scaler.exhausted(), "");
  scaler.update(false);
  EXPECT_EQ(scaler.exhausted(), "");
  EXPECT_EQ(scaler.scale(), 128);
  EXPECT_EQ(scaler.skipped(), 19);
}

TEST(LossScaler, OtherTypesAreNotScaled) {
  PrecisionConfig c = float16();
  c.scaling.loss_scale = 128;
  c.param_dtype = DType::bf16;
  LossScaler scaler(c);
  scaler.update(false);
  EXPECT_FALSE(scaler.active());
  EXPECT_EQ(scaler.scale(), 1);
}

TEST(LossScaler, GoesOnFromItsState) {
  PrecisionConfig c = float16();
  c.scaling.loss_scale_window = 5;
  const std::string steps = "x...x.....x";
  for (size_t cut = 0; cut < steps.size(); ++cut) {
    LossScaler whole(c), first(c), second(c);
    for (size_t i = 0; i < steps.size(); ++i) {
      if (i == cut) second.restore(Json::parse(first.state().dump(), "state"));
      (i < cut ? first : second).update(steps[i] == 'x');
      whole.update(steps[i] == 'x');
    }
    EXPECT_EQ(second.state().dump(), whole.state().dump()) << cut;
  }
}

TEST(LossScaler, ARestoredFixedScaleIsTheRecipes) {
  PrecisionConfig c = float16();
  LossScaler found(c);
  found.update(true);
  c.scaling.loss_scale = 4;
  LossScaler fixed(c);
  fixed.restore(found.state());
  EXPECT_EQ(fixed.scale(), 4);
  EXPECT_EQ(fixed.skipped(), 1);
}

}  // namespace
}  // namespace trireme
