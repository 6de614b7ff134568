#include "train/spike.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

/// Losses 2 and 4 in turn: mean 3, deviation 1.
SpikeDetector filled(double z_score, int64_t window) {
  SpikeDetector detector(z_score, window);
  for (int64_t i = 0; i < window; ++i) EXPECT_FALSE(detector.is_spike(i % 2 == 0 ? 2 : 4));
  return detector;
}

TEST(SpikeDetector, ComparesWithMeanAndDeviationOfTheWindow) {
  EXPECT_FALSE(filled(5, 10).is_spike(7.99));
  EXPECT_TRUE(filled(5, 10).is_spike(8.01));
  EXPECT_FALSE(filled(5, 10).is_spike(-100));  // a fall is no spike
}

TEST(SpikeDetector, WaitsForAFullWindow) {
  SpikeDetector detector(2, 4);
  for (const double loss : {2.0, 4.0, 2.0, 1000.0}) EXPECT_FALSE(detector.is_spike(loss));
}

TEST(SpikeDetector, ASpikeDoesNotJoinTheWindow) {
  SpikeDetector detector = filled(5, 10);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(detector.is_spike(9));
}

TEST(SpikeDetector, TheWindowMovesOn) {
  SpikeDetector detector = filled(5, 10);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(detector.is_spike(i % 2 == 0 ? 5 : 7));
  EXPECT_FALSE(detector.is_spike(10.9));
  EXPECT_TRUE(detector.is_spike(100));
}

TEST(SpikeDetector, EqualLossesAreNoGroundForASpike) {
  SpikeDetector detector(5, 3);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(detector.is_spike(2));
  EXPECT_FALSE(detector.is_spike(2.5));
}

TEST(SpikeDetector, ZeroTurnsItOff) { EXPECT_FALSE(filled(0, 10).is_spike(1e30)); }

TEST(SpikeDetector, AResumedOneDecidesAlike) {
  const SpikeDetector detector = filled(5, 10);
  SpikeDetector resumed(5, 10), shorter(5, 4);
  resumed.restore(Json::parse(detector.state().dump(), "state"));
  EXPECT_EQ(resumed.state().dump(), detector.state().dump());
  EXPECT_TRUE(resumed.is_spike(8.01));
  shorter.restore(detector.state());
  EXPECT_EQ(shorter.state().size(), 4U);
  EXPECT_TRUE(shorter.is_spike(8.01));
}

}  // namespace
}  // namespace trireme
