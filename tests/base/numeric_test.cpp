#include "base/numeric.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(Numeric, RoundsAndDivides) {
  EXPECT_EQ(ceil_div(7, 3), 3);
  EXPECT_EQ(round_up(7, 4), 8);
  EXPECT_EQ(round_up(8, 4), 8);
  EXPECT_EQ(div_exact(12, 4), 3);
  EXPECT_THROW(div_exact(13, 4), Bug);
  EXPECT_THROW(div_exact(1, 0), Bug);
}

TEST(Numeric, NarrowRefusesWhatDoesNotFit) {
  EXPECT_EQ(narrow<int32_t>(int64_t{-5}), -5);
  EXPECT_THROW(narrow<int32_t>(int64_t{1} << 31), Bug);
  EXPECT_THROW(narrow<uint32_t>(int64_t{-1}), Bug);
  EXPECT_THROW(narrow<int64_t>(~uint64_t{0}), Bug);
}

TEST(Numeric, PartsCoverEverythingEvenly) {
  for (const int64_t size : {0, 1, 7, 64}) {
    EXPECT_EQ(part_begin(size, 3, 0), 0);
    EXPECT_EQ(part_begin(size, 3, 3), size);
    for (int64_t r = 0; r < 3; ++r) {
      const int64_t length = part_begin(size, 3, r + 1) - part_begin(size, 3, r);
      EXPECT_TRUE(length == size / 3 || length == size / 3 + 1);
    }
  }
}

TEST(Check, NamesPlaceConditionAndDetail) {
  const int wanted = 3;
  try {
    CHECK(wanted == 4, "got ", wanted);
    FAIL();
  } catch (const Bug& e) {
    EXPECT_NE(std::string(e.what()).find("wanted == 4 does not hold: got 3"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace trireme
