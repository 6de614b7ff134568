#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace trireme {
namespace {

constexpr ScheduleRun kRun = {.lr = 1e-3, .total_steps = 100, .hidden_size = 64};

double at(ScheduleKind kind, int64_t step, double warmup = 10, double min_lr = 1e-4, double decay = 0.2) {
  return learning_rate({kind, warmup, min_lr, decay}, kRun, step);
}

TEST(Schedule, EveryKindWarmsUpLinearlyAndReachesItsPeakAtTheLastWarmupStep) {
  for (size_t kind = 0; kind < kScheduleNames.size(); ++kind) {
    const auto k = static_cast<ScheduleKind>(kind);
    const double peak = peak_learning_rate({k, 10, 1e-5, 0.2}, kRun);
    for (int64_t step = 0; step < 10; ++step) {
      EXPECT_DOUBLE_EQ(at(k, step, 10, 1e-5), peak * static_cast<double>(step + 1) / 10) << kScheduleNames[kind];
    }
  }
}

TEST(Schedule, WarmupBelowOneIsAFractionOfAllSteps) {
  EXPECT_EQ(warmup_steps({ScheduleKind::cosine, 0.25}, 100), 25);
  EXPECT_EQ(warmup_steps({ScheduleKind::cosine, 1}, 100), 1);
  EXPECT_EQ(warmup_steps({ScheduleKind::cosine, 25}, 100), 25);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::cosine, 4, 0.1), at(ScheduleKind::cosine, 4, 10));
}

TEST(Schedule, ConstantStaysAtThePeak) {
  EXPECT_DOUBLE_EQ(at(ScheduleKind::constant, 10), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::constant, 99), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::constant, 0, 0), 1e-3);
}

TEST(Schedule, LinearFallsByTheSameAmountEachStep) {
  EXPECT_DOUBLE_EQ(at(ScheduleKind::linear, 10), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::linear, 55), 1e-3 - 9e-4 * 45 / 90);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::linear, 99), 1e-3 - 9e-4 * 89 / 90);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::linear, 100), 1e-4);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::linear, 1000), 1e-4);
}

TEST(Schedule, CosineIsHalfAWaveFromPeakToMinimum) {
  EXPECT_DOUBLE_EQ(at(ScheduleKind::cosine, 10), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::cosine, 55), 1e-4 + 9e-4 / 2);
  EXPECT_NEAR(at(ScheduleKind::cosine, 40), 1e-4 + 9e-4 * 0.75, 1e-15);  // a third of the way: cos 60 degrees
  EXPECT_NEAR(at(ScheduleKind::cosine, 100), 1e-4, 1e-18);
  EXPECT_NEAR(at(ScheduleKind::cosine, 1000), 1e-4, 1e-18);
}

TEST(Schedule, WsdHoldsThenFallsOverItsLastFraction) {
  EXPECT_DOUBLE_EQ(at(ScheduleKind::wsd, 10), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::wsd, 80), 1e-3);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::wsd, 90), 1e-3 - 9e-4 / 2);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::wsd, 99), 1e-3 - 9e-4 * 19 / 20);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::wsd, 50, 10, 0, 1), 1e-3 * 50 / 90);  // decay over all: from the end of warm-up
}

TEST(Schedule, InverseSqrtIsContinuousAtTheEndOfWarmupAndHasAFloor) {
  EXPECT_DOUBLE_EQ(at(ScheduleKind::inverse_sqrt, 39), 1e-3 / 2);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::inverse_sqrt, 89, 10, 4e-4), 4e-4);
  EXPECT_DOUBLE_EQ(at(ScheduleKind::inverse_sqrt, 15, 0, 0), 1e-3 / 4);
}

TEST(Schedule, NoamIsThePublishedFormula) {
  for (const int64_t step : {0, 5, 9, 10, 50, 99}) {
    const auto n = static_cast<double>(step + 1);
    const double expected = 1e-3 * std::pow(64.0, -0.5) * std::min(std::pow(n, -0.5), n * std::pow(10.0, -1.5));
    EXPECT_NEAR(at(ScheduleKind::noam, step, 10, 0), expected, 1e-18) << step;
  }
}

TEST(Schedule, AWarmupLongerThanTheRunNeverDividesByZero) {
  for (size_t kind = 0; kind < kScheduleNames.size(); ++kind) {
    for (const double warmup : {100.0, 99.0, 500.0}) {
      for (const int64_t step : {0, 98, 99, 100, 101}) {
        EXPECT_TRUE(std::isfinite(at(static_cast<ScheduleKind>(kind), step, warmup))) << kScheduleNames[kind];
      }
    }
  }
}

}  // namespace
}  // namespace trireme
