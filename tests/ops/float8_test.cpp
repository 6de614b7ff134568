// Quantising, and products of 8-bit floats, against the definition in double.
#include "ops/float8.h"

#include "ops/activation.h"
#include "ops/matmul.h"
#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

/// x in 8-bit floats, with memory of its own.
struct Quantized {
  Quantized(Ctx& ctx, DType dtype, const Owned& x)
      : rows(dtype, x.t.shape), cols(dtype, {x.t.size(1), x.t.size(0)}), scale(DType::f32, {1}) {
    quantize(ctx, {rows.t, cols.t, scale.t}, x.t);
  }
  Owned rows, cols, scale;
};

double half_step(DType dtype) { return dtype == DType::e4m3 ? 0x1p-4 : 0x1p-3; }
double least_step(DType dtype) { return dtype == DType::e4m3 ? 0x1p-9 : 0x1p-16; }

class Quantize : public ::testing::TestWithParam<DType> {
 protected:
  OpContext context_;
};

TEST_P(Quantize, TheLargestValueBecomesTheLargestCodeAndOthersTheNearest) {
  for (const Shape& shape : {Shape{16, 16}, Shape{48, 160}, Shape{272, 80}})
    for (const double range : {1.0, 3e-6, 7e8}) {
      const int64_t r = shape[0], c = shape[1];
      const Owned x(DType::bf16, shape, random_values(r * c, 1, range));
      const Quantized q(context_.ctx(), GetParam(), x);
      const Doubles values = x.values(), codes = q.rows.values(), turned = q.cols.values();
      double largest = 0, largest_code = 0;
      for (const double v : values) largest = std::max(largest, std::abs(v));
      for (const double v : codes) largest_code = std::max(largest_code, std::abs(v));
      const double scale = q.scale.values()[0];
      EXPECT_NEAR(scale * largest_code, largest, 1e-6 * largest);
      for (int64_t i = 0; i < r * c; ++i) {
        const double found = codes[static_cast<size_t>(i)] * scale, want = values[static_cast<size_t>(i)];
        EXPECT_NEAR(found, want, std::abs(want) * half_step(GetParam()) * 1.001 + scale * least_step(GetParam()));
        ASSERT_EQ(turned[static_cast<size_t>(i % c * r + i / c)], codes[static_cast<size_t>(i)]);
      }
    }
}

TEST_P(Quantize, NothingButZerosStaysSo) {
  const Owned x(DType::bf16, {16, 32}, Doubles(512, 0.0));
  const Quantized q(context_.ctx(), GetParam(), x);
  EXPECT_EQ(q.rows.values(), x.values());
  EXPECT_GT(q.scale.values()[0], 0);
}

TEST_P(Quantize, WhatIsNotFiniteShows) {
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    Doubles values = random_values(512, 1);
    values[300] = bad;
    const Owned x(DType::bf16, {16, 32}, values);
    const Quantized q(context_.ctx(), GetParam(), x);
    EXPECT_FALSE(std::isfinite(q.rows.values()[300] * q.scale.values()[0]));
    context_.ctx().check_finite = true;
    EXPECT_THROW(Quantized(context_.ctx(), GetParam(), x), NumericError);
    context_.ctx().check_finite = false;
  }
}

TEST_P(Quantize, WhatIsMeasuredGetsTheSameCodes) {
  const Owned x(DType::bf16, {32, 48}, random_values(1536, 1, 7)), largest(DType::f32, {1});
  const Quantized want(context_.ctx(), GetParam(), x);
  measure(context_.ctx(), {x.t, largest.t});
  const Owned rows(GetParam(), {32, 48}), cols(GetParam(), {48, 32}), scale(DType::f32, {1});
  const double bytes = context_.count().bytes;
  quantize(context_.ctx(), {rows.t, cols.t, scale.t}, {x.t, largest.t});
  EXPECT_TRUE(rows.same_bits(want.rows) && cols.same_bits(want.cols) && scale.same_bits(want.scale));
  EXPECT_EQ(context_.count().bytes - bytes, 4 * 1536) << "x is read once";
}

INSTANTIATE_TEST_SUITE_P(Formats, Quantize, ::testing::Values(DType::e4m3, DType::e5m2));

TEST(Measure, FindsTheLargestMagnitude) {
  struct Case {
    Doubles values;
    double largest;
  };
  OpContext context;
  for (const Case& x : {Case{{0.0, -0.0, 0.0}, 0}, Case{{1, -3, 2, 0.5, 1}, 3}, Case{{1, -HUGE_VAL}, HUGE_VAL}}) {
    const Owned t(DType::bf16, {static_cast<int64_t>(x.values.size())}, x.values), largest(DType::f32, {1});
    measure(context.ctx(), {t.t, largest.t});
    EXPECT_EQ(largest.values()[0], x.largest);
  }
  const Owned t(DType::bf16, {1, 3}, {HUGE_VAL, NAN, 1}), largest(DType::f32, {1});
  measure(context.ctx(), {t.t, largest.t});
  EXPECT_TRUE(std::isnan(largest.values()[0]));
}

TEST(Measure, IsRefusedForWhatIsNot16BitsInARow) {
  OpContext context;
  const Owned of_f32(DType::f32, {4, 4}, Doubles(16, 1.0)), padded(DType::bf16, {4, 4}, Doubles(16, 1.0), 4);
  const Owned x(DType::bf16, {4, 4}, Doubles(16, 1.0)), largest(DType::f32, {1});
  EXPECT_THROW(measure(context.ctx(), {of_f32.t, largest.t}), Bug);
  EXPECT_THROW(measure(context.ctx(), {padded.t, largest.t}), Bug);
  EXPECT_THROW(gelu_forward(context.ctx(), {padded.t, largest.t}, x.t), Bug);
}

/// c (m, n) from operands of these types: equal to the double product of the codes' values, and near that of a and b.
void expect_product(DType of_a, DType of_b, DType to, bool accumulate, double error) {
  const int64_t m = 80, n = 144, k = 528;
  OpContext context;
  const Owned a(DType::bf16, {m, k}, random_values(m * k, 1, 4)), b(DType::bf16, {n, k}, random_values(n * k, 2, 1e-3));
  const Quantized qa(context.ctx(), of_a, a), qb(context.ctx(), of_b, b);
  const Owned bias(DType::bf16, {n}, random_values(n, 3, 0.1)), c(to, {m, n}, random_values(m * n, 4, 0.1));
  const Doubles before = c.values(), added = bias.values();
  matmul(context.ctx(), c.t, qa.rows.t, qb.rows.t,
         {.transpose_b = true,
          .accumulate = accumulate,
          .bias = accumulate ? nullptr : &bias.t,
          .a_scale = &qa.scale.t,
          .b_scale = &qb.scale.t});
  const Doubles ca = qa.rows.values(), cb = qb.rows.values(), va = a.values(), vb = b.values(), found = c.values();
  const double scale = qa.scale.values()[0] * qb.scale.values()[0];
  double dot = 0, of_found = 0, of_true = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double codes = 0, exact = 0;
      for (int64_t l = 0; l < k; ++l) {
        const auto at_a = static_cast<size_t>(i * k + l), at_b = static_cast<size_t>(j * k + l);
        codes += ca[at_a] * cb[at_b];
        exact += va[at_a] * vb[at_b];
      }
      const auto at = static_cast<size_t>(i * n + j);
      const double start = accumulate ? before[at] : added[static_cast<size_t>(j)];
      ASSERT_NEAR(found[at], start + codes * scale, rounding(to, 2) * std::abs(found[at]) + 1e-5) << i << ", " << j;
      dot += (found[at] - start) * exact;
      of_found += (found[at] - start) * (found[at] - start);
      of_true += exact * exact;
    }
  EXPECT_LT(1 - dot / std::sqrt(of_found * of_true), error);
}

TEST(Float8Product, IsTheProductOfTheCodesAndNearThatOfTheValues) {
  expect_product(DType::e4m3, DType::e4m3, DType::bf16, false, 1e-3);
  expect_product(DType::e5m2, DType::e4m3, DType::bf16, false, 3e-3);
  expect_product(DType::e5m2, DType::e4m3, DType::f32, true, 3e-3);
}

}  // namespace
}  // namespace trireme
