#include "ops/rope.h"

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class Rope : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, Rope, storage_types(), dtype_test_name);

Owned angle_table(int64_t positions, int64_t d) {
  Doubles values;
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < d; ++i) {
      const double angle =
          static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i % (d / 2)) / static_cast<double>(d));
      values.push_back(i < d / 2 ? std::cos(angle) : std::sin(angle));
    }
  return {DType::f32, {positions, d}, values};
}

Owned random_positions(int64_t n, int64_t limit) {
  Doubles values;
  for (const double v : random_values(n, 9)) values.push_back(std::floor((v + 1) / 2 * static_cast<double>(limit)));
  return {DType::i32, {n}, values};
}

TEST_P(Rope, MatchesTheDoubleReference) {
  for (const int64_t d : {2, 6, 64, 1100}) {
    const int64_t n = 9, heads = 3;
    const Owned table = angle_table(50, d), positions = random_positions(n, 50);
    // A slice of fused q, k, v, as attention layers use it, and padded heads.
    for (const int64_t pad : {int64_t{0}, int64_t{3}}) {
      Owned fused(GetParam(), {n, 3 * heads, d}, random_values(n * 3 * heads * d, 1), pad);
      const Tensor x = fused.t.slice(1, heads, 2 * heads);
      const Doubles before = fused.values(), in = read(x), t = table.values(), at = positions.values();
      OpContext op;
      rope(op.ctx(), x, positions.t, table.t);
      Doubles want;
      for (int64_t i = 0; i < n * heads * d; ++i) {
        const int64_t c = i % d, token = i / d / heads, pair = c % (d / 2);
        const size_t row = static_cast<size_t>(i - c),
                     angles = static_cast<size_t>(at[static_cast<size_t>(token)]) * static_cast<size_t>(d);
        const double a = in[row + static_cast<size_t>(pair)], b = in[row + static_cast<size_t>(pair + d / 2)];
        const double cosine = t[angles + static_cast<size_t>(pair)],
                     sine = t[angles + static_cast<size_t>(pair + d / 2)];
        want.push_back(c < d / 2 ? a * cosine - b * sine : b * cosine + a * sine);
      }
      expect_close(read(x), want, rounding(GetParam(), 2), 2 * dtype_epsilon(DType::f32), "x");
      EXPECT_TRUE(fused.padding_intact());
      Doubles after = fused.values();
      for (int64_t i = 0; i < n * 3 * heads * d; ++i) {
        const int64_t head = i / d % (3 * heads);
        if (head < heads || head >= 2 * heads) {
          ASSERT_EQ(after[static_cast<size_t>(i)], before[static_cast<size_t>(i)]) << "head " << head;
        }
      }
    }
  }
}

TEST_P(Rope, InverseUndoesIt) {
  const Owned table = angle_table(50, 64), positions = random_positions(20, 50);
  Owned x(GetParam(), {20, 4, 64}, random_values(20 * 4 * 64, 2));
  const Doubles before = x.values();
  OpContext op;
  rope(op.ctx(), x.t, positions.t, table.t);
  rope(op.ctx(), x.t, positions.t, table.t, true);
  expect_close(x.values(), before, 0, 2 * dtype_epsilon(GetParam()), "x");
}

TEST_P(Rope, SumsTheRowsOfWhatItTurned) {
  const int64_t n = 33, heads = 3, d = 16;
  const Owned table = angle_table(50, d), positions = random_positions(n, 50);
  const Owned x(GetParam(), {n, heads + 1, d}, random_values(n * (heads + 1) * d, 4));
  const Owned sums(DType::f32, {heads * d}, random_values(heads * d, 5));
  Doubles want = sums.values();
  OpContext op;
  rope(op.ctx(), x.t.slice(1, 0, heads), positions.t, table.t, true, sums.t);
  for (size_t i = 0; const double v : read(x.t.slice(1, 0, heads))) want[i++ % want.size()] += v;
  expect_close(sums.values(), want, 0, n * dtype_epsilon(DType::f32) * 4, "sums");
}

TEST_P(Rope, SameBitsAtAnyNumberOfThreads) {
  const Owned table = angle_table(50, 64), positions = random_positions(200, 50);
  Owned x(GetParam(), {200, 4, 64});
  const Doubles values = random_values(200 * 4 * 64, 3);
  expect_same_bits_at_any_threads(x, [&](Ctx& ctx) {
    write(x.t, values);
    rope(ctx, x.t, positions.t, table.t);
  });
}

TEST(Rope, APositionOutsideTheTableIsABug) {
  const Owned table = angle_table(5, 8);
  const Owned x(DType::f32, {2, 1, 8}, Doubles(16, 1.0));
  OpContext op;
  for (const int bad : {-1, 5}) {
    const Owned positions(DType::i32, {2}, Doubles{0, static_cast<double>(bad)});
    EXPECT_THROW(rope(op.ctx(), x.t, positions.t, table.t), Bug);
  }
}

TEST(Rope, OnMetaCountsAndTouchesNothing) {
  const Owned table = angle_table(5, 8), positions = random_positions(2, 5);
  const Owned x(DType::f32, {2, 1, 8});
  const auto meta = OpContext::planning();
  rope(meta->ctx(), on_meta(x.t), on_meta(positions.t), on_meta(table.t));
  EXPECT_EQ(meta->count().calls, 1);
}

}  // namespace
}  // namespace trireme
