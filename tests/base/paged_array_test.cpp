#include "base/paged_array.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>
#include <numeric>

namespace trireme {
namespace {

TEST(PagedArray, NewElementsAreZeroAndOldOnesStay) {
  PagedArray<uint32_t> array(3);
  EXPECT_EQ(std::accumulate(array.begin(), array.end(), 0U), 0U);
  for (uint32_t i = 0; i < 100000; ++i) array.push_back(i);
  ASSERT_EQ(array.size(), 100003U);
  for (uint32_t i = 0; i < 100000; ++i) ASSERT_EQ(array[3 + i], i);
  array.resize(300000);
  for (size_t i = 100003; i < array.size(); ++i) ASSERT_EQ(array[i], 0U);
}

TEST(PagedArray, MovedFromIsEmpty) {
  PagedArray<char> a(10);
  a[9] = 'x';
  PagedArray<char> b(std::move(a)), c(5);
  EXPECT_EQ(a.size(), 0U);
  c = std::move(b);
  ASSERT_EQ(c.size(), 10U);
  EXPECT_EQ(c.back(), 'x');
  EXPECT_EQ(b.size(), 0U);
  c = {};
  EXPECT_EQ(c.size(), 0U);
  c.resize(10);
  EXPECT_EQ(c.back(), 0);
}

TEST(PagedArray, ASizeThatNoMachineHasIsRefused) {
  PagedArray<uint64_t> array(1);
  EXPECT_THROW(array.resize(SIZE_MAX / 16), std::bad_alloc);
  EXPECT_EQ(array.size(), 1U);
}

}  // namespace
}  // namespace trireme
