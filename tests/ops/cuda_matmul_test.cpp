// Matrix products on the GPU against the CPU's in f32.
#include <array>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cuda_op_test.h"
#include "ops/matmul.h"
#include "support/temp_dir.h"

namespace trireme {
namespace {

using namespace trireme::testing;

struct Case {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = false, accumulate = false, bias = false;
  float alpha = 1;
  int64_t pad = 0;  // behind each row of a, b and c
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const bool accumulate : {false, true}) {
        all.push_back({128, 256, 192, ta, tb, accumulate});
        all.push_back({37, 53, 29, ta, tb, accumulate});  // nothing is aligned
        all.push_back({64, 72, 96, ta, tb, accumulate, false, 0.5F, 8});
        all.push_back({5, 7, 3, ta, tb, accumulate, !accumulate, 1, 3});
      }
  all.push_back({300, 128, 64, false, true, false, true});
  all.push_back({1, 512, 768, false, true});
  all.push_back({2, 513, 1024, false, true, false, true});  // few rows: another kernel
  all.push_back({3, 37, 4104, false, true});
  all.push_back({4, 700, 264, false, true, false, true, 0.5F, 8});
  all.push_back({1, 9, 8, false, true, false, true});
  all.push_back({1, 9001, 776, false, true, false, true});  // more columns than are worked on at a time
  all.push_back({3, 4700, 264, false, true});
  all.push_back({4, 300, 4360, false, true});  // a is too long to be kept near
  all.push_back({512, 1, 70});
  all.push_back({16, 8, 4096});
  return all;
}

class CudaMatmul : public CudaTypes {
 protected:
  /// c of type `to` from operands of types `of_a` and `of_b`.
  void check(const Case& x, DType to, DType of_a, DType of_b) {
    SCOPED_TRACE(cat(dtype_name(to), " ", x.m, " x ", x.n, " x ", x.k, x.transpose_a ? " aT" : "",
                     x.transpose_b ? " bT" : "", x.accumulate ? " +=" : "", x.bias ? " bias" : ""));
    const Shape a_shape = x.transpose_a ? Shape{x.k, x.m} : Shape{x.m, x.k};
    const Shape b_shape = x.transpose_b ? Shape{x.n, x.k} : Shape{x.k, x.n};
    const Twin& a = twin(of_a, a_shape, random_values(x.m * x.k, 1), x.pad);
    const Twin& b = twin(of_b, b_shape, random_values(x.k * x.n, 2), x.pad);
    const Twin& c = twin(to, {x.m, x.n}, random_values(x.m * x.n, 3), x.pad);
    const Twin& bias = twin(of_b, {x.n}, random_values(x.n, 4));
    run_both([&](const Side& on) {
      const Tensor bias_there = on(bias);
      matmul(on.ctx, on(c), on(a), on(b),
             {.transpose_a = x.transpose_a,
              .transpose_b = x.transpose_b,
              .accumulate = x.accumulate,
              .alpha = x.alpha,
              .bias = x.bias ? &bias_there : nullptr});
    });
    // Terms are below 1, so that partial sums stay far below k: each rounds to half a unit of k at most.
    const double absolute = dtype_epsilon(DType::f32) * static_cast<double>(x.k + 2);
    // A product that is added to a 16-bit c, which was below 1, may be rounded before.
    const double before = x.accumulate && to != DType::f32 ? dtype_epsilon(to) / 2 : 0;
    expect_twins_close(c, rounding(to, 2) + before, absolute + before, "c");
    forget();
  }
};

TEST_P(CudaMatmul, EqualsTheCpusInEveryLayout) {
  for (const Case& x : cases()) check(x, dtype(), dtype(), dtype());
}

TEST_P(CudaMatmul, WritesF32FromAnyType) {
  for (const Case& x :
       {Case{256, 128, 512, true, false, true}, Case{33, 41, 27, false, true}, Case{1, 603, 776, false, true}})
    check(x, DType::f32, dtype(), dtype());
}

TEST_P(CudaMatmul, TakesOperandsOfUnlikeTypes) {
  for (const Case& x :
       {Case{64, 128, 96}, Case{33, 41, 27, true, true, true}, Case{16, 24, 8, false, false, false, true}}) {
    check(x, dtype(), DType::f32, dtype());
    check(x, DType::f32, dtype(), DType::f32);
  }
}

TEST_P(CudaMatmul, AddsToA16BitSumAndRoundsAtMostTwice) {
  if (dtype() == DType::f32) GTEST_SKIP() << "f32 sums are not rounded further";
  const RoundingCase x(dtype());
  // The last two are large enough for candidates to be tried.
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{48, 40, 64}, {37, 53, 29}, {1024, 768, 1024}, {9000, 1280, 512}})
    for (const bool transposed : {true, false}) {
      SCOPED_TRACE(cat(m, " x ", n, " x ", k, transposed ? " aT" : ""));
      const Twin& a = twin(dtype(), transposed ? Shape{k, m} : Shape{m, k}, x.terms(m, k, x.left, transposed));
      const Twin& b = twin(dtype(), {k, n}, x.terms(n, k, x.right, true));
      const Twin& c = same_type_twin(dtype(), {m, n}, x.old(m * n));
      run_both([&](const Side& on) {
        matmul(on.ctx, on(c), on(a), on(b), {.transpose_a = transposed, .accumulate = true});
      });
      const Doubles got = c.got();
      const double twice = 1;
      EXPECT_TRUE(got == x.sum(m * n) || got == Doubles(got.size(), twice)) << got[0];
      forget();
    }
}

/// Numbers whose products have f32 sums without rounding, so that only the last one or two roundings show.
TEST_P(CudaMatmul, AddsAResidualAndRoundsAtMostTwice) {
  const auto whole = [](int64_t count, uint64_t seed) {
    Doubles values = random_values(count, seed, 8);
    for (double& v : values) v = std::round(v) / 8;
    return values;
  };
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{4, 40, 64}, {48, 40, 64}, {37, 53, 29}, {1024, 768, 1024}})
    for (const int64_t pad : {0, 8}) {
      SCOPED_TRACE(cat(m, " x ", n, " x ", k, ", pad ", pad));
      const Twin& a = same_type_twin(dtype(), {m, k}, whole(m * k, 1));
      const Twin& b = same_type_twin(dtype(), {n, k}, whole(n * k, 2));
      const Twin& residual = same_type_twin(dtype(), {m, n}, random_values(m * n, 3, 0.7), pad);
      const Twin& c = same_type_twin(dtype(), {m, n}, Doubles(static_cast<size_t>(m * n), NAN), pad);
      const Twin& product = twin(DType::f32, {m, n}, Doubles(static_cast<size_t>(m * n)));
      run_both([&](const Side& on) {
        const Tensor old = on(residual);
        matmul(on.ctx, on(c), on(a), on(b), {.transpose_b = true, .residual = &old});
        matmul(on.ctx, on(product), on(a), on(b), {.transpose_b = true});
      });
      Doubles sums = product.want();
      for (size_t i = 0; const double v : residual.want()) sums[i++] += v;
      const Doubles got = c.got(), twice = c.want(), once = Owned(dtype(), {m, n}, sums).values();
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_TRUE(got[i] == twice[i] || got[i] == once[i]) << i << ": " << got[i];
      forget();
    }
}

TEST_P(CudaMatmul, RemembersNothingOfAnotherCallsPointers) {
  for (int round = 0; round < 2; ++round) check({32, 48, 64, false, true, false, true}, dtype(), dtype(), dtype());
}

TEST_P(CudaMatmul, TakesGeluAlong) {
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{64, 96, 32}, {37, 53, 29}, {512, 1024, 1024}}) {
    SCOPED_TRACE(cat(m, " x ", n, " x ", k));
    const Twin& a = twin(dtype(), {m, k}, random_values(m * k, 1, 0.5));
    const Twin& b = twin(dtype(), {k, n}, random_values(k * n, 2, 0.5));
    const Twin& bias = twin(dtype(), {n}, random_values(n, 3));
    const Twin &act = blank(dtype(), {m, n}), &up = blank(dtype(), {m, n});
    const Twin &dup = blank(dtype(), {m, n}), &saved = twin(dtype(), {m, n}, random_values(m * n, 4, 3));
    run_both([&](const Side& on) {
      const Tensor bias_there = on(bias), up_there = on(up), saved_there = on(saved);
      matmul(on.ctx, on(act), on(a), on(b), {.bias = &bias_there, .before_gelu = &up_there});
      matmul(on.ctx, on(dup), on(a), on(b), {.times_gelu_of = &saved_there});
    });
    const double absolute = dtype_epsilon(DType::f32) * static_cast<double>(k + 8);
    expect_twins_close(up, rounding(dtype(), 2), absolute, "before GELU");
    // The GPU may round x before GELU or after it: |x GELU'(x)| is below 2.4 GELU(x) for x > 0, and 0.3 for others.
    expect_twins_close(act, 3 * rounding(dtype(), 4), 2 * absolute + 0.3 * rounding(dtype(), 0), "GELU");
    expect_twins_close(dup, 2.5 * rounding(dtype(), 4), 2 * absolute, "the gradient before GELU");
    forget();
  }
}

TEST_P(CudaMatmul, TakesSwigluAlong) {
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 74, 4104},
                                {2, 4700, 264},
                                {4, 9000, 776},
                                {3, 512, 101},
                                {5, 64, 96},
                                {300, 128, 64}}) {
    SCOPED_TRACE(cat(m, " x ", n, " x ", k));
    const Twin& a = twin(dtype(), {m, k}, random_values(m * k, 1), 8);
    const Twin& b = twin(dtype(), {n, k}, random_values(n * k, 2), 8);
    const Twin& bias = twin(dtype(), {n}, random_values(n, 3));
    const Twin &c = twin(dtype(), {m, n}, Doubles(m * n, 7.0), 8), &apart = blank(dtype(), {m, n / 2});
    const Twin& act = twin(dtype(), {m, n / 2}, Doubles(m * n / 2, 7.0), 4);
    run_both([&](const Side& on) {
      const Tensor bias_there = on(bias), act_there = on(act);
      matmul(on.ctx, on(c), on(a), on(b), {.transpose_b = true, .bias = &bias_there, .swiglu = &act_there});
      swiglu_forward(on.ctx, on(apart), on(c));
    });
    const double absolute = dtype_epsilon(DType::f32) * static_cast<double>(k + 2);
    expect_twins_close(c, rounding(dtype(), 2), absolute, "gate and up");
    EXPECT_EQ(act.got(), apart.got());
    forget();
  }
}

INSTANTIATE_TEST_SUITE_P(, CudaMatmul, storage_types(), dtype_test_name);

class CudaMatmulEdges : public CudaTest {};

TEST_F(CudaMatmulEdges, AProductOverNothingIsZero) {
  const Twin& a = twin(DType::f32, {4, 1}, Doubles(4, 1.0));
  const Twin& b = twin(DType::f32, {1, 3}, Doubles(3, 1.0));
  const Twin& c = blank(DType::f32, {4, 3});
  run_both([&](const Side& on) { matmul(on.ctx, on(c), on(a).slice(1, 0, 0), on(b).slice(0, 0, 0)); });
  EXPECT_EQ(c.got(), Doubles(12, 0.0));
}

/// 1 + 2^-12 is 1 in TF32, rounded or cut; whole numbers have exact sums. The last size is large enough to be tried.
TEST_F(CudaMatmulEdges, Tf32RoundsOperandsOfF32WhereItIsAskedFor) {
  for (const int64_t n : {128, 1024})
    for (const bool tf32 : {false, true, false}) {
      SCOPED_TRACE(cat(n, tf32 ? " in TF32" : ""));
      set_tf32(gpu().cuda, tf32);
      const Twin& a = twin(DType::f32, {n, n}, Doubles(static_cast<size_t>(n * n), 1 + 0x1p-12));
      const Twin& b = twin(DType::f32, {n, n}, Doubles(static_cast<size_t>(n * n), 1.0));
      const Twin& c = blank(DType::f32, {n, n});
      run_both([&](const Side& on) { matmul(on.ctx, on(c), on(a), on(b)); });
      const double sum = static_cast<double>(n) * (tf32 ? 1 : 1 + 0x1p-12);
      EXPECT_EQ(c.got(), Doubles(static_cast<size_t>(n * n), sum));
      forget();
    }
}

/// A product large enough to be tuned, in a context of its own.
class CudaTuning : public CudaTest {
 protected:
  std::string product(const CudaOptions& options, bool deterministic = false) {
    const CudaContextPtr gpu = make_cuda_context(kGpu, options);
    Arena temp("temp", kGpu, int64_t{96} << 20);
    Ctx ctx;
    ctx.device = kGpu;
    ctx.backend = DeviceKind::cuda;
    ctx.cuda = gpu.get();
    ctx.temp = &temp;
    ctx.deterministic = deterministic;
    constexpr int64_t kSize = 1024;
    const Twin& a = twin(DType::bf16, {kSize, kSize}, random_values(kSize * kSize, 1));
    const Twin& b = twin(DType::bf16, {kSize, kSize}, random_values(kSize * kSize, 2));
    Twin c(DType::bf16, {kSize, kSize}, Doubles(kSize * kSize, 0.0), 0, DType::f32);
    matmul(ctx, c.gpu(), a.gpu(), b.gpu());
    return c.download();
  }
  std::vector<std::string> kept() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) files.push_back(entry.path());
    return files;
  }

  TempDir folder_;
};

TEST_F(CudaTuning, IsKeptForTheNextProcessAndMadeAnewWhereItIsDamaged) {
  const CudaOptions options{.cache_folder = folder_.path()};
  const std::string first = product(options);
  ASSERT_EQ(kept().size(), 1U);
  const std::string text = read_file(kept()[0]);
  EXPECT_EQ(product(options), first);
  EXPECT_EQ(read_file(kept()[0]), text);
  write_file(kept()[0], text.substr(0, text.size() / 2));
  product(options);
  EXPECT_EQ(Json::parse(read_file(kept()[0]), "tuning").at("entries").size(), 1U);
}

TEST_F(CudaTuning, NothingIsTriedWhereBitsMustNotDependOnIt) {
  const std::string first = product({.cache_folder = folder_.path()}, true);
  EXPECT_TRUE(kept().empty());
  EXPECT_EQ(product({}, true), first);
}

}  // namespace
}  // namespace trireme
