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

/// Six heads in groups of two for each of three key-value heads: rows of q, of k and of v.
Split grouped() { return {.dim = 0, .chunks = {12, 6, 6}, .pieces = 3, .parts = {2, 1, 1}}; }

TEST(Split, RanksThatSharePiecesDealTheirPartsAndHoldTheRestWhole) {
  for (const int size : {4, 5, 6}) {
    std::multiset<int64_t> held, own;
    for (int rank = 0; rank < size; ++rank) {
      ParamTable table;
      const Param& p = ParamBuilder(table, rank, size).add({.name = "w", .shape = {24, 5}, .split = grouped()});
      ASSERT_EQ(p.local_boxes.size(), 3U);
      const Box &q = p.local_boxes[0], &k = p.local_boxes[1], &v = p.local_boxes[2];
      EXPECT_EQ(k.rows, 2);
      EXPECT_EQ(v.row, k.row + 6);
      EXPECT_GE(q.row, (k.row - 12) * 2);  // the queries that read these keys
      EXPECT_LE(q.row + q.rows, (k.row - 12) * 2 + 4);
      EXPECT_EQ(p.shared.size(), 2U);
      std::vector<int64_t> rows;
      for (const Box& b : p.local_boxes)
        for (int64_t r = b.row; r < b.row + b.rows; ++r) rows.push_back(r);
      held.insert(rows.begin(), rows.end());
      for (const FlatRange& range : p.own)
        for (int64_t i = range.begin; i < range.end; i += 5) own.insert(rows[static_cast<size_t>(i / 5)]);
    }
    EXPECT_EQ(own.size(), 24U) << size;  // every row is one rank's own
    EXPECT_EQ(std::set<int64_t>(own.begin(), own.end()).size(), 24U);
    EXPECT_EQ(held.size(), static_cast<size_t>(12 + 4 * size));
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
