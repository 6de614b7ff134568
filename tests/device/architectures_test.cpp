#include "device/architectures.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(Architectures, CodeRunsOnLaterGpusOfItsGeneration) {
  EXPECT_TRUE(runs_on("80", 8, 0));
  EXPECT_TRUE(runs_on("80", 8, 9));
  EXPECT_TRUE(runs_on("75,80,100", 8, 6));
  EXPECT_TRUE(runs_on("100,120", 12, 1));
  EXPECT_FALSE(runs_on("86", 8, 0));
  EXPECT_FALSE(runs_on("75,80", 9, 0));
  EXPECT_FALSE(runs_on("80,90", 7, 5));
  EXPECT_FALSE(runs_on("", 8, 0));
}

TEST(Architectures, CodeOfOneGpuRunsOnItAlone) {
  EXPECT_TRUE(runs_on("80,90a", 9, 0));
  EXPECT_TRUE(runs_on("100a", 10, 0));
  EXPECT_FALSE(runs_on("100a", 10, 3));
  EXPECT_FALSE(runs_on("90a", 8, 0));
}

}  // namespace
}  // namespace trireme
