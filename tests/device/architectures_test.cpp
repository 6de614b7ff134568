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

TEST(Architectures, AGpuThatRunsNoneIsToldWhatWouldRunThere) {
  EXPECT_EQ(architecture_problem("80,90a", 8, 6), "");
  EXPECT_EQ(architecture_problem("80,90a", 7, 5),
            "this trireme holds code for 80,90a only; build it with -DTRIREME_CUDA_ARCHITECTURES=75");
  EXPECT_NE(architecture_problem("80", 9, 0).find("TRIREME_CUDA_ARCHITECTURES=90a"), std::string::npos);
  EXPECT_NE(architecture_problem("80,90a", 12, 0).find("TRIREME_CUDA_ARCHITECTURES=120"), std::string::npos);
}

TEST(Architectures, AGpuOlderThanAnyBuildIsRefusedWithTheReason) {
  for (const auto& [major, minor] : {std::pair{7, 0}, {6, 1}, {3, 5}})
    EXPECT_EQ(architecture_problem("75,80,90a", major, minor),
              "trireme runs on GPUs of compute capability 7.5 (Turing) and newer");
}

}  // namespace
}  // namespace trireme
