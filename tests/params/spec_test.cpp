#include "params/spec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "params/init.h"
#include "params/layout.h"
#include "tensor/buffer.h"

namespace trireme {
namespace {

TEST(Split, PartsOfEveryRankCoverTheParameterOnce) {
  const Split split{.dim = 0, .chunks = {12, 6, 6}, .pieces = 2};
  for (const int size : {1, 2, 3}) {
    std::multiset<int64_t> rows;
    for (int rank = 0; rank < size; ++rank) {
      const auto boxes = local_boxes({24, 5}, split, rank, size);
      int64_t held = 0;
      for (const Box& b : boxes) {
        EXPECT_EQ(b.cols, 5);
        held += b.rows;
        for (int64_t r = b.row; r < b.row + b.rows; ++r) rows.insert(r);
      }
      EXPECT_EQ(held, local_shape({24, 5}, split, rank, size)[0]);
    }
    EXPECT_EQ(rows.size(), 24U) << size;
    EXPECT_EQ(std::set<int64_t>(rows.begin(), rows.end()).size(), 24U);
  }
}

TEST(Split, AnOddVocabularyGivesUnevenParts) {
  EXPECT_EQ(local_shape({53, 8}, {.dim = 0}, 0, 2)[0], 26);
  EXPECT_EQ(local_shape({53, 8}, {.dim = 0}, 1, 2)[0], 27);
}

TEST(Init, DependsOnTheGlobalElementOnly) {
  ThreadPool pool(2);
  const auto values = [&](const Split& split, int rank, int size) {
    ParamTable table;
    Param& p = ParamBuilder(table, rank, size).add({.name = "w", .shape = {10, 6}, .split = split});
    std::vector<float> out(static_cast<size_t>(p.local_shape.numel()));
    p.value = {out.data(), DType::f32, kCpu, p.local_shape};
    init_param(p, 3, pool);
    return out;
  };
  const std::vector<float> whole = values({}, 0, 1);
  const std::vector<float> columns = values({.dim = 1}, 1, 2);
  for (size_t r = 0; r < 10; ++r)
    for (size_t c = 0; c < 3; ++c) EXPECT_EQ(columns[r * 3 + c], whole[r * 6 + 3 + c]);
  const std::vector<float> rows = values({.dim = 0, .chunks = {4, 6}}, 0, 2);
  for (size_t c = 0; c < 6; ++c) EXPECT_EQ(rows[2 * 6 + c], whole[4 * 6 + c]);  // the second chunk's first row
}

TEST(Init, NormalValuesHaveTheirSpread) {
  ThreadPool pool(1);
  ParamTable table;
  Param& p = ParamBuilder(table).add({.name = "w", .shape = {400, 250}, .init_std = 0.5F});
  std::vector<float> v(100000);
  p.value = {v.data(), DType::f32, kCpu, p.local_shape};
  init_param(p, 1, pool);
  double sum = 0, squares = 0, fourth = 0;
  for (const float x : v) {
    sum += x;
    squares += double{x} * x;
    fourth += std::pow(double{x}, 4);
  }
  const double n = 1e5, variance = squares / n;
  EXPECT_NEAR(sum / n, 0, 0.5 * 5 / std::sqrt(n));
  EXPECT_NEAR(variance, 0.25, 0.25 * 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n / (variance * variance), 3, 0.1);  // kurtosis of a normal
}

TEST(Spec, NamesAreUnique) {
  ParamTable table;
  const ParamBuilder builder = ParamBuilder(table).scoped("a");
  builder.add({.name = "w", .shape = {2}});
  EXPECT_EQ(table[0].spec.name, "a.w");
  EXPECT_THROW(builder.add({.name = "w", .shape = {2}}), Bug);
}

}  // namespace
}  // namespace trireme
