#include "launch/cores.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(Cores, EveryRankGetsARunOfItsOwn) {
  const std::vector<int> cores = {0, 4, 1, 5, 2, 6, 3};
  EXPECT_EQ(share_of_cores(cores, 0, 1), cores);
  EXPECT_EQ(share_of_cores(cores, 0, 3), (std::vector<int>{0, 4}));
  EXPECT_EQ(share_of_cores(cores, 1, 3), (std::vector<int>{1, 5}));
  EXPECT_EQ(share_of_cores(cores, 2, 3), (std::vector<int>{2, 6, 3}));
}

TEST(Cores, MoreRanksThanCoresRunAnywhere) { EXPECT_TRUE(share_of_cores({0, 1}, 3, 4).empty()); }

TEST(Cores, ThisProcessMayUseSome) { EXPECT_FALSE(usable_cores().empty()); }

}  // namespace
}  // namespace trireme
