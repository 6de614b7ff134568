// Projection and cross-entropy in one kernel on the GPU, against double. What is asked of losses here, logits that are
// rounded to bf16 could not give.
#include "ops/cuda/linear_cross_entropy.h"
#include "ops/cuda_op_test.h"
#include "ops/linear_cross_entropy_reference.h"

namespace trireme {
namespace {

using namespace trireme::testing;

constexpr double kUnit = 0x1p-23, kHalf = 0x1p-8;  // of f32; half a unit of bf16

struct Values {
  Doubles x, weight, targets, weights;

  static Values random(int64_t n, int64_t v, int64_t c, double range) {
    Values out{random_values(n * c, 1), random_values(v * c, 2, range), {}, random_values(n, 3)};
    for (int64_t r = 0; r < n; ++r) out.targets.push_back(static_cast<double>(r * 131 % v));
    return out;
  }
};

class CudaLinearCrossEntropy : public CudaTest {
 protected:
  static constexpr float kScale = 0.5F;

  /// The tensors of a problem, which are there until forget().
  void make(const Values& in, int64_t n, int64_t v, int64_t c) {
    n_ = n, v_ = v, c_ = c;
    x_ = &twin(DType::bf16, {n, c}, in.x, 8);
    weight_ = &twin(DType::bf16, {v, c}, in.weight, 16);
    targets_ = &twin(DType::i32, {n}, in.targets);
    weights_ = &twin(DType::f32, {n}, in.weights);
    loss_ = &blank(DType::f32, {n});
    dx_ = &blank(DType::bf16, {n, c}, 24);
    dweight_ = &twin(DType::f32, {v, c}, Doubles(static_cast<size_t>(v * c), 1.0));
  }
  LinearCrossEntropy args() const {
    return {.loss = loss_->gpu(),
            .dx = dx_->gpu(),
            .dweight = dweight_->gpu(),
            .accumulate = true,
            .x = x_->gpu(),
            .weight = weight_->gpu(),
            .targets = targets_->gpu(),
            .weights = weights_->gpu(),
            .scale = kScale};
  }
  bool has_kernel() { return cuda::has_linear_cross_entropy(*gpu().cuda, args()); }

  /// Twice, from the same memory: with the same bits, and nothing else written.
  void run() {
    std::vector<Twin*> written{loss_, dx_, dweight_};
    std::vector<std::string> first;
    for (const bool again : {false, true}) {
      for (Twin* t : written) t->upload();
      linear_cross_entropy(gpu(), args());
      for (size_t i = 0; i < written.size(); ++i) {
        const std::string bytes = written[i]->download();
        EXPECT_TRUE(written[i]->padding_intact()) << "tensor " << i;
        if (again)
          EXPECT_TRUE(bytes == first[i]) << "tensor " << i;
        else
          first.push_back(bytes);
      }
    }
  }

  void expect_right() {
    const LossReference want(x_->want(), weight_->want(), targets_->want(), weights_->want(), kScale);
    Doubles loss = loss_->got(), dx = dx_->got(), dweight = dweight_->got();
    const double terms = static_cast<double>(c_ + 16);
    double largest = 0;  // error of a logit, and so a relative one of its exponential
    for (size_t r = 0; r < loss.size(); ++r) {
      const double error = (terms + 6) * kUnit * want.logit_terms[r] + 64 * kUnit;
      largest = std::max(largest, error);
      ASSERT_NEAR(loss[r], want.loss[r], error * std::min(2.0, 4 * std::expm1(want.loss[r])) + 2 * kUnit * loss[r])
          << "row " << r;
    }
    // Its exponential is rounded; so are the product and its scaled form, or x with its factor.
    const double each = kHalf + 4 * largest, sums = static_cast<double>(v_ + n_) * kUnit;
    for (size_t i = 0; i < dx.size(); ++i)
      ASSERT_NEAR(dx[i], want.dx[i], (each + sums) * want.dx_terms[i] + 2.1 * kHalf * std::abs(want.dx[i]) + 1e-36)
          << "dx " << i / static_cast<size_t>(c_) << ", " << i % static_cast<size_t>(c_);
    for (size_t i = 0; i < dweight.size(); ++i)
      ASSERT_NEAR(dweight[i], 1 + want.dweight[i], (each + 1.1 * kHalf + sums) * want.dweight_terms[i] + 2 * kUnit)
          << "dweight " << i / static_cast<size_t>(c_) << ", " << i % static_cast<size_t>(c_);
  }

  int64_t n_ = 0, v_ = 0, c_ = 0;
  Twin *x_ = nullptr, *weight_ = nullptr, *targets_ = nullptr, *weights_ = nullptr;
  Twin *loss_ = nullptr, *dx_ = nullptr, *dweight_ = nullptr;
};

#define TRIREME_SKIP_WITHOUT_KERNEL() \
  if (!has_kernel()) GTEST_SKIP() << "no such kernel for this GPU in this build"

TEST_F(CudaLinearCrossEntropy, MatchesTheDoubleReference) {
  struct Size {
    int64_t n, v, c;
    double range;
  };
  // The last one has several tiles for each warp group.
  for (const auto& [n, v, c, range] : {Size{1, 1, 8, 1}, Size{5, 37, 8, 4}, Size{64, 256, 64, 2},
                                       Size{300, 1001, 200, 1}, Size{129, 257, 768, 0.5}, Size{1100, 4099, 24, 3}}) {
    SCOPED_TRACE(cat(n, " x ", v, " x ", c));
    Values in = Values::random(n, v, c, range);
    in.weights[static_cast<size_t>(n / 2)] = 0;
    make(in, n, v, c);
    TRIREME_SKIP_WITHOUT_KERNEL();
    run();
    expect_right();
    for (int64_t k = 0; k < c; ++k) ASSERT_EQ(dx_->got()[static_cast<size_t>(n / 2 * c + k)], 0);
    forget();
  }
}

TEST_F(CudaLinearCrossEntropy, LogitsFarAboveTheTargetsTakeASecondPass) {
  const int64_t n = 300, v = 700, c = 64;
  Values in = Values::random(n, v, c, 1);
  // Rows whose largest logit is up to 400 above the target's, beside others.
  for (int64_t r = 0; r < n; r += 7)
    for (int64_t k = 0; k < c; ++k) in.x[static_cast<size_t>(r * c + k)] *= static_cast<double>(1 + r / 10);
  make(in, n, v, c);
  TRIREME_SKIP_WITHOUT_KERNEL();
  run();
  const Doubles loss = loss_->got();
  EXPECT_GT(*std::max_element(loss.begin(), loss.end()), 100);
  expect_right();
}

TEST_F(CudaLinearCrossEntropy, WellPredictedTokensKeepTheirSmallLossAndGradient) {
  const int64_t n = 130, v = 1000, c = 128;
  Values in{Doubles(n * c), Doubles(v * c), {}, Doubles(n, 1.0)};
  for (int64_t r = 0; r < n; ++r) {
    in.x[static_cast<size_t>(r * c + r % c)] = 8 + static_cast<double>(r % 5) * 4;
    in.targets.push_back(static_cast<double>(r % c));
  }
  for (int64_t k = 0; k < c; ++k) in.weight[static_cast<size_t>(k * c + k)] = 2;
  make(in, n, v, c);
  TRIREME_SKIP_WITHOUT_KERNEL();
  run();
  const LossReference want(x_->want(), weight_->want(), targets_->want(), weights_->want(), kScale);
  EXPECT_LT(*std::min_element(want.loss.begin(), want.loss.end()), 1e-15);
  expect_close(loss_->got(), want.loss, 0x1p-16, 0, "loss");
  expect_close(dx_->got(), want.dx, 3.1 * kHalf, 0, "dx");
}

TEST_F(CudaLinearCrossEntropy, WhatIsNotFiniteShows) {
  const int64_t n = 200, v = 600, c = 64;
  for (const double bad : {static_cast<double>(NAN), HUGE_VAL, -HUGE_VAL}) {
    Values in = Values::random(n, v, c, 1);
    in.x[static_cast<size_t>(150 * c + 3)] = bad;
    make(in, n, v, c);
    TRIREME_SKIP_WITHOUT_KERNEL();
    run();
    const Doubles loss = loss_->got();
    for (size_t r = 0; r < loss.size(); ++r) EXPECT_EQ(std::isfinite(loss[r]), r != 150) << bad << ", row " << r;
    forget();
  }
  Values in = Values::random(n, v, c, 1);
  in.weight[static_cast<size_t>(599 * c + 3)] = NAN;
  make(in, n, v, c);
  run();
  for (const double value : loss_->got()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(CudaLinearCrossEntropy, TargetsThatAreIgnoredMayBeAnything) {
  const int64_t n = 70, v = 300, c = 64;
  Values in = Values::random(n, v, c, 1);
  for (const size_t r : {3, 4, 69}) in.weights[r] = 0;
  make(in, n, v, c);
  TRIREME_SKIP_WITHOUT_KERNEL();
  run();
  const std::string dx = dx_->download(), dweight = dweight_->download();
  in.targets[3] = -1;
  in.targets[4] = 1 << 30;
  in.targets[69] = -(1 << 30);
  make(in, n, v, c);
  run();
  EXPECT_TRUE(dx_->download() == dx);
  EXPECT_TRUE(dweight_->download() == dweight);
}

}  // namespace
}  // namespace trireme
