// Cross-entropy on the GPU against the CPU's in f32.
#include "ops/cuda_op_test.h"
#include "ops/loss.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaLoss : public CudaTypes {};
INSTANTIATE_TEST_SUITE_P(Storage, CudaLoss, storage_types(), dtype_test_name);

constexpr double kUnit = 0x1p-23;

/// Sums of `v` terms: every thread adds v / 512 of them, packs at a time, and exp of up to `range` loses as many units.
double sum_error(int64_t v, double range) { return (16 + 2 * range + static_cast<double>(v) / 2048) * kUnit; }

/// dlogits of a loss of `error`, with weights up to 1. What is lost in lse and in exp's argument are relative errors of
/// exp(logit - lse), which at the target is cancelled against 1: there they are absolute.
void expect_gradient(const Twin& dlogits, const Doubles& targets, double error, const char* what) {
  const Doubles got = dlogits.got(), want = dlogits.want();
  const DType dtype = dlogits.gpu().dtype;
  const size_t v = got.size() / targets.size();
  const double relative = rounding(dtype, 0) + 2 * (error + 64 * kUnit);
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    const bool hit = static_cast<double>(i % v) == targets[i / v];
    const double absolute = (hit ? 2 * (error + 64 * kUnit) : 0) + (dtype == DType::f16 ? 0x1p-24 : 1e-30);
    ASSERT_LE(std::abs(got[i] - want[i]), relative * std::abs(want[i]) + absolute)
        << what << " " << i / v << ", " << i % v << ": " << got[i] << ", expected " << want[i];
  }
}

struct Problem {
  Twin &logits, &targets, &weights, &max, &sum, &target_logit, &loss, &lse;

  void forward(const Side& on) const {
    cross_entropy_stats(on.ctx, on(max), on(sum), on(target_logit), on(logits), on(targets), 0);
    cross_entropy_loss(on.ctx, on(loss), on(lse), on(max), on(sum), on(target_logit));
  }
};

TEST_P(CudaLoss, ForwardAndBackwardMatchTheCpu) {
  struct Case {
    int64_t n, v;
    double range;
  };
  for (const Case& k : {Case{1, 1, 5}, Case{1, 8, 5}, Case{21, 37, 20}, Case{21, 1500, 20}, Case{700, 203, 20},
                        Case{5, 50257, 5}, Case{3, 50304, 5}, Case{3, 128256, 10}}) {
    for (const int64_t pad : {0, 3, 8, 47}) {
      SCOPED_TRACE(cat(k.n, " x ", k.v, " pad ", pad));
      Doubles targets, weights = random_values(k.n, 2);
      for (int64_t r = 0; r < k.n; ++r) targets.push_back(static_cast<double>(r * 131 % k.v));
      weights[static_cast<size_t>(k.n / 2)] = 0;
      const Problem p{.logits = twin(dtype(), {k.n, k.v}, random_values(k.n * k.v, 1, k.range), pad),
                      .targets = twin(DType::i32, {k.n}, targets),
                      .weights = twin(DType::f32, {k.n}, weights),
                      .max = blank(DType::f32, {k.n}),
                      .sum = blank(DType::f32, {k.n}),
                      .target_logit = blank(DType::f32, {k.n}),
                      .loss = blank(DType::f32, {k.n}),
                      .lse = blank(DType::f32, {k.n})};
      Twin& whole = twin(dtype(), {k.n, k.v}, p.logits.want(), pad);
      Twin& whole_loss = blank(DType::f32, {k.n});
      run_both([&](const Side& on) {
        p.forward(on);
        cross_entropy(on.ctx, on(whole_loss), on(whole), on(p.targets), on(p.weights), 0.5F);
        cross_entropy_backward(on.ctx, on(p.logits), on(p.lse), on(p.targets), on(p.weights), 0.5F, 0);
      });
      const double error = sum_error(k.v, 2 * k.range);
      EXPECT_EQ(p.max.got(), p.max.want());
      EXPECT_EQ(p.target_logit.got(), p.target_logit.want());
      expect_twins_close(p.sum, error, 0, "row_sum");
      expect_twins_close(p.lse, 2 * kUnit, error, "lse");
      expect_twins_close(p.loss, 2 * kUnit, error, "loss");
      expect_gradient(p.logits, targets, error, "dlogits");
      expect_twins_close(whole_loss, 2 * kUnit, error, "loss at once");
      expect_gradient(whole, targets, error, "dlogits at once");
      const Doubles gradient = p.logits.got();
      for (int64_t c = 0; c < k.v; ++c)
        ASSERT_EQ(gradient[static_cast<size_t>(k.n / 2 * k.v + c)], 0) << "the row of weight 0, column " << c;
      forget();
      if (k.v > 2000 && pad == 3) break;  // the CPU's side takes its time
    }
  }
}

TEST_P(CudaLoss, SlicesOfTheVocabularyEqualTheWhole) {
  const int64_t n = 7, v = 1000, cut = 333;
  Doubles targets;
  for (int64_t r = 0; r < n; ++r) targets.push_back(static_cast<double>(r * 151 % v));
  Twin& logits = twin(dtype(), {n, v}, random_values(n * v, 1, 8));
  Twin& target = twin(DType::i32, {n}, targets);
  Twin& weights = twin(DType::f32, {n}, random_values(n, 2));
  Twin &max = blank(DType::f32, {n}), &sum = blank(DType::f32, {n}), &hit = blank(DType::f32, {n});
  Twin &max1 = blank(DType::f32, {n}), &sum1 = blank(DType::f32, {n}), &hit1 = blank(DType::f32, {n});
  Twin &max2 = blank(DType::f32, {n}), &sum2 = blank(DType::f32, {n}), &hit2 = blank(DType::f32, {n});
  Twin &lse = blank(DType::f32, {n}), &loss = blank(DType::f32, {n});
  run_both([&](const Side& on) {
    cross_entropy_stats(on.ctx, on(max), on(sum), on(hit), on(logits), on(target), 0);
    cross_entropy_stats(on.ctx, on(max1), on(sum1), on(hit1), on(logits).slice(1, 0, cut), on(target), 0);
    cross_entropy_stats(on.ctx, on(max2), on(sum2), on(hit2), on(logits).slice(1, cut, v), on(target), cut);
    cross_entropy_rescale(on.ctx, on(sum1), on(max1), on(max));
    cross_entropy_rescale(on.ctx, on(sum2), on(max2), on(max));
    cross_entropy_loss(on.ctx, on(loss), on(lse), on(max), on(sum), on(hit));
    cross_entropy_backward(on.ctx, on(logits).slice(1, cut, v), on(lse), on(target), on(weights), 1, cut);
  });
  const double error = sum_error(v, 16);
  for (size_t r = 0; r < n; ++r) {
    EXPECT_EQ(hit1.got()[r] + hit2.got()[r], hit.got()[r]);
    EXPECT_EQ(std::max(max1.got()[r], max2.got()[r]), max.got()[r]);
    EXPECT_NEAR(sum1.got()[r] + sum2.got()[r], sum.got()[r], 2 * error * sum.got()[r]);
  }
  for (int64_t c = 0; c < cut; ++c)
    EXPECT_EQ(logits.got()[static_cast<size_t>(c)], logits.want()[static_cast<size_t>(c)]);
  expect_gradient(logits, targets, error, "dlogits");
}

TEST_P(CudaLoss, InfinitiesNanAndIgnoredRowsAreAsOnTheCpu) {
  const int64_t n = 5, v = 600;
  Doubles values = random_values(n * v, 1, 5);
  for (int64_t c = 0; c < v; ++c) values[static_cast<size_t>(c)] = -HUGE_VAL;  // a slice where everything is masked
  for (int64_t c = 1; c < v; c += 2) values[static_cast<size_t>(v + c)] = -HUGE_VAL;
  values[2 * v + 77] = NAN;
  values[3 * v + 5] = NAN;  // of weight 0
  Twin& logits = twin(dtype(), {n, v}, values);
  Twin& targets = twin(DType::i32, {n}, Doubles{0, 2, 3, -1, 100000});
  Twin& weights = twin(DType::f32, {n}, Doubles{1, 1, 1, 0, 1});
  Twin &max = blank(DType::f32, {n}), &sum = blank(DType::f32, {n}), &hit = blank(DType::f32, {n});
  Twin& lse = twin(DType::f32, {n}, Doubles(5, 8.0));
  run_both([&](const Side& on) {
    cross_entropy_stats(on.ctx, on(max), on(sum), on(hit), on(logits), on(targets), 0);
    cross_entropy_backward(on.ctx, on(logits), on(lse), on(targets), on(weights), 1, 0);
  });
  EXPECT_EQ(max.got()[0], -HUGE_VAL);
  EXPECT_EQ(sum.got()[0], 0);
  EXPECT_TRUE(std::isnan(sum.got()[2]));
  expect_twins_close(sum, sum_error(v, 10), 0, "row_sum");
  EXPECT_EQ(hit.got(), hit.want());
  expect_gradient(logits, {0, 2, 3, -1, 100000}, sum_error(v, 10), "dlogits");
  for (size_t c = 0; c < v; ++c) EXPECT_EQ(logits.got()[3 * v + c], 0);
}

TEST_F(CudaTest, WeightedSumIsTheCpusUpToRounding) {
  for (const int64_t n : {1, 511, 5000, 65536}) {
    Twin& weights = twin(DType::f32, {n}, random_values(n, 1));
    Twin& loss = twin(DType::f32, {n}, random_values(n, 2, 9));
    Twin& sum = same_type_twin(DType::f64, {1}, {3.0});
    run_both([&](const Side& on) { weighted_sum(on.ctx, on(sum), on(weights), on(loss)); });
    EXPECT_NEAR(sum.got()[0], sum.want()[0], 0x1p-52 * static_cast<double>(n) * 9 * static_cast<double>(n));
    forget();
  }
}

}  // namespace
}  // namespace trireme
