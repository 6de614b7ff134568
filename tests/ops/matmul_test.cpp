#include "ops/matmul.h"

#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cpu/blas.h"
#include "ops/norm.h"
#include "ops/op_test.h"
#include "support/allocations.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

struct Case {
  int64_t m = 1, n = 1, k = 1;
  bool ta = false, tb = false, accumulate = false, bias = false;
  float alpha = 1;
  DType a = DType::f32, b = DType::f32, c = DType::f32;
  int64_t pad = 0;

  std::string str() const {
    return cat(m, "x", n, "x", k, ta ? " a^T" : "", tb ? " b^T" : "", accumulate ? " +=" : "", bias ? " bias" : "", " ",
               alpha, " ", dtype_name(a), " ", dtype_name(b), " -> ", dtype_name(c), " pad ", pad);
  }
};

struct Problem {
  explicit Problem(const Case& x) : p(x) {
    a = Owned(p.a, p.ta ? Shape{p.k, p.m} : Shape{p.m, p.k}, random_values(p.m * p.k, 1), p.pad);
    b = Owned(p.b, p.tb ? Shape{p.n, p.k} : Shape{p.k, p.n}, random_values(p.n * p.k, 2), p.pad);
    bias = Owned(p.b, {p.n}, random_values(p.n, 3));
    old = Owned(p.c, {p.m, p.n}, random_values(p.m * p.n, 4), p.pad);
    c = Owned(p.c, {p.m, p.n}, p.pad);
    reset();
  }
  void reset() { write(c.t, p.accumulate ? old.values() : Doubles(static_cast<size_t>(p.m * p.n), std::nan(""))); }
  MatmulOptions options() const {
    return {.transpose_a = p.ta,
            .transpose_b = p.tb,
            .accumulate = p.accumulate,
            .alpha = p.alpha,
            .bias = p.bias ? &bias.t : nullptr};
  }
  void run(Ctx& ctx) { matmul(ctx, c.t, a.t, b.t, options()); }

  void expect_right() const {
    const Doubles av = a.values(), bv = b.values(), start = old.values(), add = bias.values(), got = c.values();
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.n; ++j) {
        const size_t at = static_cast<size_t>(i * p.n + j);
        double want = p.accumulate ? start[at] : p.bias ? add[static_cast<size_t>(j)] : 0;
        double magnitude = std::abs(want);
        for (int64_t l = 0; l < p.k; ++l) {
          const double term = p.alpha * av[static_cast<size_t>(p.ta ? l * p.m + i : i * p.k + l)] *
                              bv[static_cast<size_t>(p.tb ? j * p.k + l : l * p.n + j)];
          want += term;
          magnitude += std::abs(term);
        }
        ASSERT_LE(std::abs(got[at] - want), sum_bound(p.k + 2, magnitude, want, p.c))
            << p.str() << " at " << i << ", " << j << ": " << got[at] << ", expected " << want;
      }
    EXPECT_TRUE(c.padding_intact()) << p.str();
  }

  Case p;
  Owned a, b, bias, old, c;
};

void check(const Case& p) {
  Problem problem(p);
  OpContext op;
  problem.run(op.ctx());
  problem.expect_right();
}

/// Every combination of what a product can be asked, for one shape.
void check_all(int64_t m, int64_t n, int64_t k, DType a = DType::f32, DType b = DType::f32, DType c = DType::f32) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const int kind : {0, 1, 2})
        check({m, n, k, ta, tb, kind == 1, kind == 2, kind == 0 ? 1.0F : 0.5F, a, b, c, kind == 2 ? 0 : 3});
}

TEST(Matmul, IsRightForFewRows) {
  for (int64_t m = 1; m <= 17; ++m) check_all(m, 37, 50);
}

TEST(Matmul, IsRightForOddSizes) {
  check_all(1, 1, 1);
  check_all(33, 1, 19);
  check_all(5, 300, 131);
  check_all(70, 65, 129);
  check_all(3, 2, 0);
  check_all(40, 30, 0);
}

TEST(Matmul, IsRightAcrossTilesAndPanels) {
  check({.m = 1100, .n = 70, .k = 300, .tb = true, .bias = true});
  check({.m = 140, .n = 1300, .k = 40, .ta = true, .accumulate = true});
  check({.m = 300, .n = 280, .k = 1100, .tb = true, .accumulate = true, .a = DType::bf16, .b = DType::f16});
  check({.m = 530, .n = 90, .k = 600, .bias = true, .alpha = 2, .b = DType::bf16, .c = DType::bf16, .pad = 5});
}

TEST(Matmul, IsRightForEveryStorageType) {
  for (const DType a : {DType::f32, DType::bf16, DType::f16})
    for (const DType b : {DType::f32, DType::bf16, DType::f16})
      for (const DType c : {DType::f32, DType::bf16, DType::f16}) {
        check_all(3, 21, 35, a, b, c);
        check_all(19, 21, 35, a, b, c);
      }
}

TEST(Matmul, AddsToA16BitSumAndRoundsOnce) {
  for (const DType type : {DType::bf16, DType::f16})
    for (const bool transposed : {false, true}) {
      const RoundingCase x(type);
      const int64_t m = 300, n = 130, k = 600;
      const Owned a(type, transposed ? Shape{k, m} : Shape{m, k}, x.terms(m, k, x.left, transposed));
      const Owned b(type, {k, n}, x.terms(n, k, x.right, true)), c(type, {m, n}, x.old(m * n));
      OpContext op;
      matmul(op.ctx(), c.t, a.t, b.t, {.transpose_a = transposed, .accumulate = true});
      EXPECT_EQ(c.values(), x.sum(m * n)) << dtype_name(type);
    }
}

TEST(Matmul, AResidualIsAddedToTheRoundedProduct) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16})
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{3, 21, 35}, {70, 40, 64}}) {
      const Owned a(type, {m, k}, random_values(m * k, 1)), b(type, {n, k}, random_values(n * k, 2)),
          residual(type, {m, n}, random_values(m * n, 3), 2), c(type, {m, n}, 3), apart(type, {m, n}),
          sum(type, {m, n}), bias(type, {n}, random_values(n, 4));
      OpContext op;
      for (const Tensor* adds : {static_cast<const Tensor*>(nullptr), &bias.t}) {
        matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .bias = adds, .residual = &residual.t});
        matmul(op.ctx(), apart.t, a.t, b.t, {.transpose_b = true, .bias = adds});
        add(op.ctx(), sum.t, residual.t, apart.t);
        EXPECT_EQ(c.values(), sum.values()) << dtype_name(type);
        EXPECT_TRUE(c.padding_intact());
      }
    }
}

TEST(Matmul, ANormInFrontIsThatOfTheOpByItself) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16})
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 21, 35}, {4, 40, 64}, {70, 40, 64}})
      for (const bool layer : {false, true}) {
        const Owned a(type, {m, k}, random_values(m * k, 1, 3), 3), b(type, {n, k}, random_values(n * k, 2)),
            weight(type, {k}, random_values(k, 3)), shift(type, {k}, random_values(k, 4)), c(type, {m, n}, 3),
            normed(type, {m, k}), apart(type, {m, n}, 3), mean(DType::f32, {m}), rstd(DType::f32, {m});
        OpContext op;
        const NormArgs norm{weight.t, layer ? shift.t : Tensor(), 1e-5F};
        matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .norm = &norm});
        if (layer)
          layer_norm_forward(op.ctx(), normed.t, {}, mean.t, rstd.t, a.t, {}, weight.t, shift.t, 1e-5F);
        else
          rms_norm_forward(op.ctx(), normed.t, {}, rstd.t, a.t, {}, weight.t, 1e-5F);
        matmul(op.ctx(), apart.t, normed.t, b.t, {.transpose_b = true});
        EXPECT_TRUE(c.same_bits(apart)) << dtype_name(type) << " " << m << (layer ? " layer" : " rms");
      }
}

TEST(Matmul, DoesNothingWhereThereIsNothing) {
  OpContext op;
  const Owned a(DType::f32, {0, 4}), b(DType::f32, {4, 3}), c(DType::f32, {0, 3});
  matmul(op.ctx(), c.t, a.t, b.t);
  EXPECT_EQ(op.count().flops, 0);
}

TEST(Matmul, GivesTheSameBitsAtAnyNumberOfThreads) {
  for (const Case& p : {Case{.m = 700, .n = 450, .k = 200, .tb = true}, Case{.m = 260, .n = 390, .k = 700, .ta = true},
                        Case{.m = 1, .n = 3000, .k = 400, .tb = true}, Case{.m = 7, .n = 1030, .k = 300},
                        Case{.m = 300, .n = 300, .k = 600, .a = DType::bf16, .b = DType::bf16, .c = DType::bf16}}) {
    Problem problem(p);
    expect_same_bits_at_any_threads(problem.c, [&](Ctx& ctx) {
      problem.reset();
      problem.run(ctx);
    });
  }
}

TEST(Matmul, TakesThePlannedScratchAndNoHeap) {
  for (const Case& p :
       {Case{.m = 300, .n = 280, .k = 900, .a = DType::bf16, .b = DType::f16, .c = DType::bf16},
        Case{.m = 4, .n = 280, .k = 900, .tb = true, .a = DType::bf16}, Case{.m = 300, .n = 280, .k = 90}}) {
    Problem problem(p);
    OpContext op;
    problem.run(op.ctx());
    const int64_t before = num_allocations();
    problem.run(op.ctx());
    EXPECT_EQ(num_allocations(), before) << p.str();

    const auto plan = OpContext::planning();
    const Tensor bias = on_meta(problem.bias.t);
    MatmulOptions options = problem.options();
    if (p.bias) options.bias = &bias;
    matmul(plan->ctx(), on_meta(problem.c.t), on_meta(problem.a.t), on_meta(problem.b.t), options);
    EXPECT_EQ(plan->temp().peak(), op.temp().peak()) << p.str();
    EXPECT_EQ(plan->count().matmul_flops, 2.0 * static_cast<double>(p.m * p.n * p.k));
  }
}

TEST(Matmul, GeluInTheSamePassIsThatOfTwoOps) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t m = 33, n = 40, k = 24;
    const Owned a(dtype, {m, k}, random_values(m * k, 1)), b(dtype, {k, n}, random_values(k * n, 2)),
        bias(dtype, {n}, random_values(n, 3)), saved(dtype, {m, n}, random_values(m * n, 4, 3));
    const Owned up(dtype, {m, n}), act(dtype, {m, n}), want_up(dtype, {m, n}), want_act(dtype, {m, n});
    OpContext op;
    matmul(op.ctx(), act.t, a.t, b.t, {.bias = &bias.t, .before_gelu = &up.t});
    matmul(op.ctx(), want_up.t, a.t, b.t, {.bias = &bias.t});
    gelu_forward(op.ctx(), want_act.t, want_up.t);
    EXPECT_TRUE(up.same_bits(want_up));
    EXPECT_TRUE(act.same_bits(want_act));
    matmul(op.ctx(), act.t, a.t, b.t, {.times_gelu_of = &saved.t});
    matmul(op.ctx(), want_act.t, a.t, b.t);
    gelu_backward(op.ctx(), want_act.t, want_act.t, saved.t);
    EXPECT_TRUE(act.same_bits(want_act));
    Owned sum(DType::f32, {n}, random_values(n, 5)), want_sum(DType::f32, {n}, random_values(n, 5));
    matmul(op.ctx(), act.t, a.t, b.t, {.times_gelu_of = &saved.t, .bias_gradient = &sum.t});
    sum_rows(op.ctx(), want_sum.t, want_act.t);
    EXPECT_TRUE(act.same_bits(want_act));
    EXPECT_TRUE(sum.same_bits(want_sum));
    EXPECT_THROW(matmul(op.ctx(), act.t, a.t, b.t, {.before_gelu = &up.t, .times_gelu_of = &saved.t}), Bug);
    EXPECT_THROW(matmul(op.ctx(), act.t, a.t, b.t, {.bias_gradient = &sum.t}), Bug);
    EXPECT_THROW(matmul(op.ctx(), act.t, a.t, b.t, {.times_gelu_of = &saved.t, .bias_gradient = &up.t}), Bug);
  }
}

TEST(Matmul, SwigluInTheSamePassIsThatOfTwoOps) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64_t m : {1, 33}) {
      const int64_t n = 40, k = 24;
      const Owned a(dtype, {m, k}, random_values(m * k, 1)), b(dtype, {n, k}, random_values(n * k, 2));
      const Owned c(dtype, {m, n}), act(dtype, {m, n / 2}), want_c(dtype, {m, n}), want_act(dtype, {m, n / 2});
      OpContext op;
      matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .swiglu = &act.t});
      matmul(op.ctx(), want_c.t, a.t, b.t, {.transpose_b = true});
      swiglu_forward(op.ctx(), want_act.t, want_c.t);
      EXPECT_TRUE(c.same_bits(want_c));
      EXPECT_TRUE(act.same_bits(want_act));
      EXPECT_THROW(matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .swiglu = &c.t}), Bug);
      EXPECT_THROW(matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .accumulate = true, .swiglu = &act.t}), Bug);
    }
}

TEST(Matmul, SwigluBackwardInTheSamePassIsThatOfTwoOps) {
  OpContext op;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Owned dy(dtype, {5, 12}, random_values(60, 1)), weight(dtype, {12, 8}, random_values(96, 2));
    Owned gate_up(dtype, {5, 16}, random_values(80, 3)), want(dtype, {5, 16}, random_values(80, 3));
    Owned scratch(dtype, {5, 8}), dact(dtype, {5, 8});
    matmul(op.ctx(), scratch.t, dy.t, weight.t, {.before_swiglu = &gate_up.t});
    matmul(op.ctx(), dact.t, dy.t, weight.t);
    swiglu_backward(op.ctx(), want.t, dact.t, want.t);
    EXPECT_TRUE(gate_up.same_bits(want));
    EXPECT_THROW(matmul(op.ctx(), scratch.t, dy.t, weight.t, {.before_swiglu = &dact.t}), Bug);
    EXPECT_THROW(matmul(op.ctx(), scratch.t, dy.t, weight.t, {.accumulate = true, .before_swiglu = &gate_up.t}), Bug);
  }
}

TEST(Matmul, RefusesWrongShapes) {
  OpContext op;
  const Owned a(DType::f32, {2, 4}), b(DType::f32, {3, 4}), c(DType::f32, {2, 3}), bias(DType::f32, {2});
  EXPECT_THROW(matmul(op.ctx(), c.t, a.t, b.t), Bug);
  EXPECT_THROW(matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .bias = &bias.t}), Bug);
  EXPECT_THROW(matmul(op.ctx(), c.t, a.t, b.t, {.transpose_b = true, .accumulate = true, .bias = &bias.t}), Bug);
}

TEST(Matmul, NamesItselfWhereTheResultIsNotFinite) {
  OpContext op;
  op.ctx().check_finite = true;
  Owned a(DType::f32, {20, 4}, random_values(80, 1)), b(DType::f32, {4, 3}, random_values(12, 2)),
      c(DType::f32, {20, 3});
  matmul(op.ctx(), c.t, a.t, b.t);
  a.t.f32()[17 * 4] = INFINITY;
  try {
    matmul(op.ctx(), c.t, a.t, b.t);
    FAIL() << "no error";
  } catch (const NumericError& e) {
    EXPECT_NE(std::string(e.what()).find("matmul"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("row 17, column 0"), std::string::npos) << e.what();
  }
}

TEST(SumRows, AddsTheSumOfTheRows) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {130, 300}, {1000, 37}}) {
      const Owned x(dtype, {rows, cols}, random_values(rows * cols, 5), 3);
      const Doubles start = random_values(cols, 6), values = x.values();
      Owned out(DType::f32, {cols}, start);
      OpContext op;
      sum_rows(op.ctx(), out.t, x.t);
      const Doubles got = out.values();
      for (int64_t c = 0; c < cols; ++c) {
        const auto i = static_cast<size_t>(c);
        double want = start[i], magnitude = std::abs(want);
        for (int64_t r = 0; r < rows; ++r) {
          const double term = values[static_cast<size_t>(r * cols + c)];
          want += term;
          magnitude += std::abs(term);
        }
        EXPECT_LE(std::abs(got[i] - want), sum_bound(rows + 1, magnitude, want, DType::f32));
      }
    }
}

TEST(SumRows, GivesTheSameBitsAtAnyNumberOfThreads) {
  const Owned x(DType::f32, {700, 391}, random_values(700 * 391, 5));
  const Owned out(DType::f32, {391});
  expect_same_bits_at_any_threads(out, [&](Ctx& ctx) {
    write(out.t, Doubles(391));
    sum_rows(ctx, out.t, x.t);
  });
}

TEST(BlasKernels, AreChosenForACpuThatOpenBlasDoesNotKnow) {
  EXPECT_EQ(cpu::better_blas_kernels("Prescott", true, true), "SkylakeX");
  EXPECT_EQ(cpu::better_blas_kernels("Prescott", true, false), "Haswell");
  EXPECT_EQ(cpu::better_blas_kernels("Prescott", false, false), "") << "a CPU as old as the kernels";
  EXPECT_EQ(cpu::better_blas_kernels("Zen", true, false), "");
  EXPECT_EQ(cpu::better_blas_kernels("Haswell", true, true), "") << "it knew the CPU and had its reasons";
}

}  // namespace
}  // namespace trireme
