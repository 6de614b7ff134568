#include "ops/loss.h"

#include <numeric>

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CrossEntropy : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, CrossEntropy, storage_types(), dtype_test_name);

struct Reference {
  Doubles max, sum, loss, lse;
};

Reference reference(const Doubles& logits, const Doubles& targets) {
  Reference out;
  const size_t n = targets.size(), v = logits.size() / n;
  for (size_t r = 0; r < n; ++r) {
    const double* row = logits.data() + r * v;
    out.max.push_back(*std::max_element(row, row + v));
    double sum = 0;
    for (size_t i = 0; i < v; ++i) sum += std::exp(row[i] - out.max[r]);
    out.sum.push_back(sum);
    out.lse.push_back(out.max[r] + std::log(sum));
    out.loss.push_back(out.lse[r] - row[static_cast<size_t>(targets[r])]);
  }
  return out;
}

/// Logits (n, v) with targets, weights and all row vectors.
struct Problem {
  Problem(DType dtype, int64_t n, int64_t v, double range = 5, int64_t pad = 0)
      : logits(dtype, {n, v}, random_values(n * v, 1, range), pad),
        targets(DType::i32, {n}),
        weights(DType::f32, {n}, random_values(n, 2)),
        max(DType::f32, {n}),
        sum(DType::f32, {n}),
        target_logit(DType::f32, {n}),
        loss(DType::f32, {n}),
        lse(DType::f32, {n}) {
    for (int64_t r = 0; r < n; ++r) targets.t.i32()[r] = static_cast<int32_t>(r * 131 % v);
  }
  void stats(Ctx& ctx) { cross_entropy_stats(ctx, max.t, sum.t, target_logit.t, logits.t, targets.t, 0); }
  void forward(Ctx& ctx) {
    stats(ctx);
    cross_entropy_loss(ctx, loss.t, lse.t, max.t, sum.t, target_logit.t);
  }
  void backward(Ctx& ctx, float scale) { cross_entropy_backward(ctx, logits.t, lse.t, targets.t, weights.t, scale, 0); }
  Owned logits, targets, weights, max, sum, target_logit, loss, lse;
};

constexpr double kEps = 0x1p-23;

TEST_P(CrossEntropy, ForwardMatchesTheDoubleReference) {
  for (const int64_t v : {1, 37, 1500}) {
    for (const int64_t pad : {0, 3}) {
      Problem p(GetParam(), 21, v, 20, pad);
      OpContext op;
      p.forward(op.ctx());
      const Reference want = reference(p.logits.values(), p.targets.values());
      EXPECT_EQ(p.max.values(), want.max);
      expect_close(p.sum.values(), want.sum, 8 * kEps, 0, "row_sum");
      expect_close(p.lse.values(), want.lse, 2 * kEps, 8 * kEps, "lse");
      expect_close(p.loss.values(), want.loss, 2 * kEps, 8 * kEps, "loss");
      EXPECT_TRUE(p.logits.padding_intact());
    }
  }
}

TEST_P(CrossEntropy, BackwardMatchesTheDoubleReference) {
  const int64_t n = 21, v = 1500;
  Problem p(GetParam(), n, v, 5, 3);
  p.weights.t.f32()[4] = 0;
  const Doubles logits = p.logits.values();
  OpContext op;
  p.forward(op.ctx());
  p.backward(op.ctx(), 0.5F);
  const Doubles lse = reference(logits, p.targets.values()).lse, weights = p.weights.values();
  Doubles want;
  for (size_t i = 0; i < logits.size(); ++i) {
    const size_t r = i / v;
    const double hit = p.targets.t.i32()[r] == static_cast<int32_t>(i % v) ? 1 : 0;
    want.push_back(0.5 * weights[r] * (std::exp(logits[i] - lse[r]) - hit));
  }
  // lse carries a few roundings of a number near 7: they are relative errors of exp. Half of f16 is subnormal here.
  expect_close(p.logits.values(), want, rounding(GetParam(), 24), GetParam() == DType::f16 ? 0x1p-25 : 1e-12,
               "dlogits");
  EXPECT_TRUE(p.logits.padding_intact());
}

TEST(CrossEntropyF32, BackwardMatchesCentralDifferences) {
  const int64_t n = 3, v = 7;
  Problem p(DType::f32, n, v, 2);
  const Doubles logits = p.logits.values(), targets = p.targets.values(), weights = p.weights.values();
  const auto total = [&](const Doubles& at) {
    const Doubles loss = reference(at, targets).loss;
    return 0.7 * std::inner_product(loss.begin(), loss.end(), weights.begin(), 0.0);
  };
  Doubles want;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double h = 1e-5;
    Doubles above = logits, below = logits;
    above[i] += h;
    below[i] -= h;
    want.push_back((total(above) - total(below)) / (2 * h));
  }
  OpContext op;
  p.forward(op.ctx());
  p.backward(op.ctx(), 0.7F);
  expect_close(p.logits.values(), want, 1e-6, 1e-7, "dlogits");
}

// With lse 0 and no target the gradient is exp(logit).
TEST(CrossEntropyF32, ExpIsWithinTwoUnitsInTheLastPlace) {
  const int64_t v = 200000;
  Owned logits(DType::f32, {1, v}), lse(DType::f32, {1}, Doubles{0}), weight(DType::f32, {1}, Doubles{1});
  const Owned target(DType::i32, {1}, Doubles{-1});
  for (int64_t i = 0; i < v; ++i) logits.t.f32()[i] = -87.3F * static_cast<float>(i) / static_cast<float>(v);
  const Doubles x = logits.values();
  OpContext op;
  cross_entropy_backward(op.ctx(), logits.t, lse.t, target.t, weight.t, 1, 0);
  Doubles want;
  for (const double at : x) want.push_back(std::exp(at));
  expect_close(logits.values(), want, 1.5 * kEps, 0, "exp");
}

TEST_P(CrossEntropy, ThreeUnevenSlicesOfTheVocabularyEqualTheWhole) {
  const int64_t n = 21, v = 1111;
  Problem whole(GetParam(), n, v), sliced(GetParam(), n, v);
  OpContext op;
  whole.forward(op.ctx());
  struct Part {
    int64_t begin, end;
    Owned max, sum, target;
  };
  std::vector<Part> parts;
  Doubles global_max(n, -HUGE_VAL), global_sum(n), global_target(n);
  for (const auto& [begin, end] : {std::pair{0, 5}, {5, 600}, {600, 1111}}) {
    Part part{begin, end, {DType::f32, {n}}, {DType::f32, {n}}, {DType::f32, {n}}};
    cross_entropy_stats(op.ctx(), part.max.t, part.sum.t, part.target.t, sliced.logits.t.slice(1, begin, end),
                        sliced.targets.t, begin);
    for (size_t r = 0; r < n; ++r) global_max[r] = std::max(global_max[r], part.max.values()[r]);
    parts.push_back(std::move(part));
  }
  const Owned agreed(DType::f32, {n}, global_max);
  for (const Part& part : parts) {
    cross_entropy_rescale(op.ctx(), part.sum.t, part.max.t, agreed.t);
    for (size_t r = 0; r < n; ++r) {
      global_sum[r] += part.sum.values()[r];
      global_target[r] += part.target.values()[r];
    }
  }
  const Owned sum(DType::f32, {n}, global_sum), target(DType::f32, {n}, global_target);
  EXPECT_TRUE(agreed.same_bits(whole.max));
  EXPECT_TRUE(target.same_bits(whole.target_logit));
  cross_entropy_loss(op.ctx(), sliced.loss.t, sliced.lse.t, agreed.t, sum.t, target.t);
  expect_close(sliced.loss.values(), whole.loss.values(), 2 * kEps, 4 * kEps, "loss");
  whole.backward(op.ctx(), 1);
  for (const Part& part : parts)
    cross_entropy_backward(op.ctx(), sliced.logits.t.slice(1, part.begin, part.end), whole.lse.t, sliced.targets.t,
                           sliced.weights.t, 1, part.begin);
  EXPECT_TRUE(sliced.logits.same_bits(whole.logits));
}

TEST(CrossEntropyF32, LargeAndInfiniteLogits) {
  const double inf = HUGE_VAL;
  Problem p(DType::f32, 4, 3);
  write(p.logits.t, {1e30, 1e30, -1e30, -inf, 3, -inf, 7, 7, 7, -inf, -inf, -inf});
  write(p.targets.t, {0, 1, 2, 0});
  OpContext op;
  p.forward(op.ctx());
  const Doubles loss = p.loss.values();
  EXPECT_NEAR(loss[0], std::log(2.0), 1e-6);
  EXPECT_EQ(loss[1], 0);
  EXPECT_NEAR(loss[2], std::log(3.0), 1e-6);
  EXPECT_EQ(p.max.values()[3], -inf);
  EXPECT_EQ(p.sum.values()[3], 0);  // as one slice among others it adds nothing
  cross_entropy_rescale(op.ctx(), p.sum.t, p.max.t, Owned(DType::f32, {4}, Doubles{1e30, 3, 8, 0}).t);
  expect_close(p.sum.values(), {2, 1, 3 * std::exp(-1.0), 0}, 4 * kEps, 0, "rescaled");
}

TEST(CrossEntropyF32, NanReachesTheLossOfItsRowOnly) {
  for (int64_t at = 0; at < 100; at += 9) {
    for (const double others : {0.0, -HUGE_VAL}) {
      Problem p(DType::f32, 2, 100);
      write(p.logits.t, Doubles(200, others));
      p.logits.t.f32()[0] = 1;
      p.logits.t.f32()[100 + at] = NAN;
      OpContext op;
      p.forward(op.ctx());
      EXPECT_TRUE(std::isnan(p.loss.values()[1])) << at;
      EXPECT_TRUE(std::isnan(p.sum.values()[1])) << at;
      EXPECT_FALSE(std::isnan(p.sum.values()[0])) << at;
    }
  }
}

TEST_P(CrossEntropy, AnIgnoredRowHasNoGradientWhateverItHolds) {
  Problem p(GetParam(), 2, 50);
  p.targets.t.i32()[1] = -100;
  p.weights.t.f32()[1] = 0;
  OpContext op;
  p.forward(op.ctx());
  EXPECT_EQ(p.target_logit.values()[1], 0);
  write_element(p.logits.t, 60, NAN);
  p.backward(op.ctx(), 1);
  const Doubles d = p.logits.values();
  for (size_t i = 50; i < 100; ++i) EXPECT_EQ(d[i], 0);
  EXPECT_NE(d[0], 0);
}

TEST_P(CrossEntropy, SameBitsAtAnyNumberOfThreads) {
  const int64_t n = 50, v = 1301;
  Problem p(GetParam(), n, v);
  const Doubles logits = p.logits.values();
  expect_same_bits_at_any_threads(p.sum, [&](Ctx& ctx) { p.forward(ctx); });
  expect_same_bits_at_any_threads(p.logits, [&](Ctx& ctx) {
    write(p.logits.t, logits);
    p.backward(ctx, 1);
  });
}

TEST_P(CrossEntropy, AtOnceGivesTheBitsOfTheSteps) {
  Problem steps(GetParam(), 21, 1500, 5, 3), once(GetParam(), 21, 1500, 5, 3);
  OpContext op;
  steps.forward(op.ctx());
  steps.backward(op.ctx(), 0.5F);
  cross_entropy(op.ctx(), once.loss.t, once.logits.t, once.targets.t, once.weights.t, 0.5F);
  EXPECT_TRUE(once.loss.same_bits(steps.loss));
  EXPECT_TRUE(once.logits.same_bits(steps.logits));
  EXPECT_EQ(op.temp().mark(), 0);
}

TEST(WeightedSum, IsADoubleSumInOrderAndAdded) {
  const Owned weights(DType::f32, {5000}, random_values(5000, 1)), loss(DType::f32, {5000}, random_values(5000, 2, 9));
  OpContext op;
  double want = 0;
  for (size_t i = 0; i < 5000; ++i) want += weights.values()[i] * loss.values()[i];
  double sum = 3;
  weighted_sum(op.ctx(), Tensor(&sum, DType::f64, kCpu, {1}), weights.t, loss.t);
  EXPECT_EQ(sum, 3 + want);
}

TEST(CrossEntropyF32, OnMetaCountsAndTouchesNothing) {
  Problem p(DType::bf16, 4, 6);
  for (Owned* t : {&p.logits, &p.targets, &p.weights, &p.max, &p.sum, &p.target_logit, &p.loss, &p.lse})
    t->t = on_meta(t->t);
  const auto meta = OpContext::planning();
  p.forward(meta->ctx());
  p.backward(meta->ctx(), 1);
  cross_entropy_rescale(meta->ctx(), p.sum.t, p.max.t, p.max.t);
  weighted_sum(meta->ctx(), Tensor(nullptr, DType::f64, kMeta, {1}), p.weights.t, p.loss.t);
  EXPECT_EQ(meta->count().calls, 5);
  EXPECT_EQ(meta->temp().peak(), 0);
}

}  // namespace
}  // namespace trireme
