#include "ops/optim.h"

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

struct State {
  Doubles p, m, v;
};

constexpr float kDecay = 0.1F;

AdamWArgs arguments(int step) {
  AdamWArgs a;
  a.lr = 3e-3F / static_cast<float>(step);
  a.beta1 = 0.9F;
  a.beta2 = 0.95F;
  static float factor = 0.37F;
  if (step % 2 == 0) a.factor = Tensor(&factor, DType::f32, kCpu, {1});
  a.bias_correction1 = static_cast<float>(1 - std::pow(0.9, step));
  a.bias_correction2 = static_cast<float>(1 - std::pow(0.95, step));
  return a;
}

/// The published algorithm with decoupled decay, in double.
void reference_step(State& s, const Doubles& grad, const AdamWArgs& a) {
  for (size_t i = 0; i < s.p.size(); ++i) {
    const double g = grad[i] * (a.factor.defined() ? static_cast<double>(*a.factor.f32()) : 1), b1 = a.beta1,
                 b2 = a.beta2, lr = a.lr;
    s.p[i] -= lr * static_cast<double>(kDecay) * s.p[i];
    s.m[i] = b1 * s.m[i] + (1 - b1) * g;
    s.v[i] = b2 * s.v[i] + (1 - b2) * g * g;
    s.p[i] -= lr * (s.m[i] / static_cast<double>(a.bias_correction1)) /
              (std::sqrt(s.v[i] / static_cast<double>(a.bias_correction2)) + static_cast<double>(a.eps));
  }
}

class AdamW : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, AdamW, storage_types(), dtype_test_name);

TEST_P(AdamW, TenStepsMatchTheDoubleReference) {
  const int64_t n = 1237;
  State want{random_values(n, 1), Doubles(n), Doubles(n)};
  Owned p(DType::f32, {n}, want.p), m(DType::f32, {n}, want.m), v(DType::f32, {n}, want.v), param(GetParam(), {n});
  want.p = p.values();
  OpContext op;
  for (int step = 1; step <= 10; ++step) {
    const Owned grad(DType::f32, {n}, random_values(n, 10 + static_cast<uint64_t>(step), step == 3 ? 1e4 : 1e-2));
    adamw_update(op.ctx(), {p.t, m.t, v.t, param.t, grad.t, kDecay}, arguments(step));
    reference_step(want, grad.values(), arguments(step));
  }
  // A step moves p by about lr; each of ten rounds p once and the move a few times.
  expect_close(p.values(), want.p, 10 * dtype_epsilon(DType::f32), 1e-8, "p");
  expect_close(m.values(), want.m, 20 * dtype_epsilon(DType::f32), 1e-8, "m");
  expect_close(v.values(), want.v, 20 * dtype_epsilon(DType::f32), 1e-12, "v");
  Owned rounded(GetParam(), {n}, p.values());
  if (GetParam() == DType::bf16)  // ties away from zero
    for (int64_t i = 0; i < n; ++i) rounded.t.as<bf16_t>()[i] = high_half(p.t.f32()[i]);
  EXPECT_TRUE(param.same_bits(rounded));
}

TEST(AdamWMaster, TheMasterMayBeTheParameter) {
  const int64_t n = 100;
  const Owned grad(DType::f32, {n}, random_values(n, 2));
  Owned p1(DType::f32, {n}, random_values(n, 1)), p2(DType::f32, {n}, random_values(n, 1)), copy(DType::f32, {n});
  Owned m1(DType::f32, {n}, Doubles(n)), v1(DType::f32, {n}, Doubles(n)), m2(DType::f32, {n}, Doubles(n)),
      v2(DType::f32, {n}, Doubles(n));
  OpContext op;
  adamw_update(op.ctx(), {p1.t, m1.t, v1.t, Tensor(), grad.t, kDecay}, arguments(1));
  adamw_update(op.ctx(), {p2.t, m2.t, v2.t, copy.t, grad.t, kDecay}, arguments(1));
  EXPECT_TRUE(p1.same_bits(p2));
  EXPECT_TRUE(p1.same_bits(copy));
}

TEST(AdamWMaster, WithoutAFactorNothingChanges) {
  const int64_t n = 100;
  const Owned grad(DType::f32, {n}, random_values(n, 2));
  Owned p(DType::f32, {n}, random_values(n, 1)), m(DType::f32, {n}, Doubles(n)), v(DType::f32, {n}, Doubles(n));
  const std::string before = p.bytes() + m.bytes() + v.bytes();
  float none = NAN;
  AdamWArgs args = arguments(1);
  args.factor = Tensor(&none, DType::f32, kCpu, {1});
  OpContext op;
  adamw_update(op.ctx(), {p.t, m.t, v.t, Tensor(), grad.t, kDecay}, args);
  EXPECT_EQ(p.bytes() + m.bytes() + v.bytes(), before);
}

TEST(ClipFactor, BringsLargeNormsToTheBoundAndRefusesWhatIsNotFinite) {
  OpContext op;
  const auto factor = [&](double norm, double loss, const ClipArgs& args) {
    double squares = norm * norm;
    float found = 7;
    clip_factor(op.ctx(), Tensor(&found, DType::f32, kCpu, {1}), Tensor(&squares, DType::f64, kCpu, {1}),
                Tensor(&loss, DType::f64, kCpu, {1}), args);
    return found;
  };
  EXPECT_EQ(factor(4, 1, {.max_norm = 2}), static_cast<float>(2 / (4 + 1e-6)));
  EXPECT_EQ(factor(1, 1, {.max_norm = 2}), 1);
  EXPECT_EQ(factor(1e9, 1, {}), 1);
  EXPECT_EQ(factor(64, 1, {.max_norm = 2, .loss_scale = 16}), static_cast<float>(2 / (4 + 1e-6) / 16));
  EXPECT_EQ(factor(8, 1, {.max_norm = 2, .loss_scale = 16}), 1.0F / 16);
  for (const double bad : {static_cast<double>(NAN), HUGE_VAL}) {
    EXPECT_TRUE(std::isnan(factor(1, bad, {.max_norm = 1})));
    EXPECT_TRUE(std::isnan(factor(1, -bad, {})));
    EXPECT_TRUE(std::isnan(factor(bad, 1, {.max_norm = 1})));
  }
}

TEST(AdamWMaster, ASliceIsUpdatedAsInTheWhole) {
  const int64_t n = 1003, cut = 401;
  const Doubles start = random_values(n, 1);
  const Owned grad(DType::f32, {n}, random_values(n, 2));
  Owned p(DType::f32, {n}, start), m(DType::f32, {n}, Doubles(n)), v(DType::f32, {n}, Doubles(n));
  Owned sp(DType::f32, {n}, start), sm(DType::f32, {n}, Doubles(n)), sv(DType::f32, {n}, Doubles(n));
  OpContext op;
  adamw_update(op.ctx(), {p.t, m.t, v.t, Tensor(), grad.t, kDecay}, arguments(2));
  for (const auto& [begin, end] : {std::pair{int64_t{0}, cut}, {cut, n}})
    adamw_update(op.ctx(),
                 {sp.t.slice(0, begin, end), sm.t.slice(0, begin, end), sv.t.slice(0, begin, end), Tensor(),
                  grad.t.slice(0, begin, end), kDecay},
                 arguments(2));
  EXPECT_TRUE(p.same_bits(sp));
}

TEST(AdamWMaster, ManySlicesAreUpdatedAsEachByItself) {
  std::vector<Owned> at_once, alone;  // master, m, v, grad of each
  std::vector<AdamWSlice> slices;
  OpContext op;
  for (int64_t i = 0; i < 9; ++i) {
    const int64_t n = 1 + 37 * i;
    for (std::vector<Owned>* set : {&at_once, &alone})
      for (uint64_t k = 0; k < 4; ++k)
        set->emplace_back(DType::f32, Shape{n}, k == 2 ? Doubles(static_cast<size_t>(n)) : random_values(n, k));
  }
  for (size_t i = 0; i < at_once.size(); i += 4) {
    const float decay = i % 8 == 0 ? kDecay : 0;
    const auto slice = [&](const std::vector<Owned>& set) {
      return AdamWSlice{set[i].t, set[i + 1].t, set[i + 2].t, Tensor(), set[i + 3].t, decay};
    };
    slices.push_back(slice(at_once));
    adamw_update(op.ctx(), slice(alone), arguments(2));
  }
  adamw_update(op.ctx(), slices, arguments(2));
  for (size_t i = 0; i < at_once.size(); ++i) EXPECT_TRUE(at_once[i].same_bits(alone[i])) << i;
}

TEST_P(AdamW, SameBitsAtAnyNumberOfThreads) {
  const int64_t n = 70001;
  const Doubles start = random_values(n, 1), gradient = random_values(n, 2);
  const Owned grad(DType::f32, {n}, gradient);
  Owned p(DType::f32, {n}), m(DType::f32, {n}), v(DType::f32, {n}), param(GetParam(), {n});
  const auto run = [&](Ctx& ctx) {
    write(p.t, start);
    write(m.t, Doubles(n));
    write(v.t, Doubles(n));
    adamw_update(ctx, {p.t, m.t, v.t, param.t, grad.t, kDecay}, arguments(1));
  };
  expect_same_bits_at_any_threads(p, run);
  expect_same_bits_at_any_threads(param, run);
}

TEST(AdamWMaster, NanGradientsShow) {
  Owned p(DType::f32, {2}, Doubles{1, 1}), m(DType::f32, {2}, Doubles(2)), v(DType::f32, {2}, Doubles(2));
  const Owned grad(DType::f32, {2}, Doubles{NAN, 0});
  OpContext op;
  adamw_update(op.ctx(), {p.t, m.t, v.t, Tensor(), grad.t, kDecay}, arguments(1));
  EXPECT_TRUE(std::isnan(p.values()[0]));
  EXPECT_NEAR(p.values()[1], 1 - 3e-4, 1e-7);  // decay only
  op.ctx().check_finite = true;
  EXPECT_THROW(adamw_update(op.ctx(), {p.t, m.t, v.t, Tensor(), grad.t, kDecay}, arguments(1)), NumericError);
}

TEST(AdamWMaster, OnMetaCountsAndTouchesNothing) {
  const Tensor t(nullptr, DType::f32, kMeta, {10});
  const auto meta = OpContext::planning();
  adamw_update(meta->ctx(), {t, t, t, Tensor(), t, kDecay}, arguments(1));
  EXPECT_EQ(meta->count().bytes, 7 * 40);
}

}  // namespace
}  // namespace trireme
