#include "ops/activation.h"

#include "ops/op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class Activation : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Storage, Activation, storage_types(), dtype_test_name);

double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double gelu_slope(double x) {
  const double k = std::sqrt(2 / M_PI);
  const double t = std::tanh(k * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
}
double silu(double x) { return x / (1 + std::exp(-x)); }
double silu_slope(double x) {
  const double s = 1 / (1 + std::exp(-x));
  return s * (1 + x * (1 - s));
}

template <class F>
Doubles map(const Doubles& x, F f) {
  Doubles out;
  for (const double v : x) out.push_back(f(v));
  return out;
}

// The argument of exp carries a few roundings, which exp turns into a relative error of the value that grows with the
// argument (up to about 10 where it matters). As an absolute error of x * sigmoid that stays below 8 units of |x|.
constexpr double kOperations = 16;
constexpr double kTiny = 1e-6;

TEST_P(Activation, GeluMatchesTheDoubleReference) {
  for (const int64_t pad : {0, 5}) {
    const Owned x(GetParam(), {7, 1101}, random_values(7 * 1101, 1, 8), pad);
    Owned y(GetParam(), {7, 1101}, pad);
    OpContext op;
    gelu_forward(op.ctx(), y.t, x.t);
    expect_close(y.values(), map(x.values(), gelu), rounding(GetParam(), kOperations), kTiny, "y");
    EXPECT_TRUE(y.padding_intact());
  }
}

TEST_P(Activation, GeluBackwardMatchesTheDoubleReference) {
  const Owned x(GetParam(), {7, 1101}, random_values(7 * 1101, 1, 8), 3);
  const Owned dy(GetParam(), {7, 1101}, random_values(7 * 1101, 2), 1);
  Owned dx(GetParam(), {7, 1101}, 2);
  OpContext op;
  gelu_backward(op.ctx(), dx.t, dy.t, x.t);
  Doubles want = map(x.values(), gelu_slope);
  const Doubles d = dy.values();
  for (size_t i = 0; i < want.size(); ++i) want[i] *= d[i];
  expect_close(dx.values(), want, rounding(GetParam(), kOperations), 2 * kTiny, "dx");
  EXPECT_TRUE(dx.padding_intact());
}

TEST_P(Activation, SwigluMatchesTheDoubleReference) {
  const int64_t n = 5, f = 700;
  const Owned gate_up(GetParam(), {n, 2 * f}, random_values(n * 2 * f, 3, 8), 4);
  const Owned dy(GetParam(), {n, f}, random_values(n * f, 4), 1);
  Owned y(GetParam(), {n, f}, 3), dgate_up(GetParam(), {n, 2 * f}, 2);
  OpContext op;
  swiglu_forward(op.ctx(), y.t, gate_up.t);
  swiglu_backward(op.ctx(), dgate_up.t, dy.t, gate_up.t);
  const Doubles gate = read(gate_up.t.slice(1, 0, f)), up = read(gate_up.t.slice(1, f, 2 * f)), d = dy.values();
  Doubles want_y, want_gate, want_up;
  for (size_t i = 0; i < gate.size(); ++i) {
    want_y.push_back(silu(gate[i]) * up[i]);
    want_gate.push_back(d[i] * up[i] * silu_slope(gate[i]));
    want_up.push_back(d[i] * silu(gate[i]));
  }
  const double relative = rounding(GetParam(), kOperations);
  expect_close(y.values(), want_y, relative, 8 * kTiny, "y");
  expect_close(read(dgate_up.t.slice(1, 0, f)), want_gate, relative, 8 * kTiny, "dgate");
  expect_close(read(dgate_up.t.slice(1, f, 2 * f)), want_up, relative, kTiny, "dup");
  EXPECT_TRUE(y.padding_intact() && dgate_up.padding_intact());
}

TEST(ActivationReference, SlopesMatchCentralDifferences) {
  for (double x = -6; x <= 6; x += 0.37) {
    const double h = 1e-5;
    EXPECT_NEAR(gelu_slope(x), (gelu(x + h) - gelu(x - h)) / (2 * h), 1e-9);
    EXPECT_NEAR(silu_slope(x), (silu(x + h) - silu(x - h)) / (2 * h), 1e-9);
  }
}

TEST_P(Activation, InPlaceEqualsOutOfPlace) {
  const Doubles x = random_values(3 * 600, 5, 4), d = random_values(3 * 600, 6);
  const Owned in(GetParam(), {3, 600}, x), dy(GetParam(), {3, 600}, d);
  Owned y(GetParam(), {3, 600}), dx(GetParam(), {3, 600}), same(GetParam(), {3, 600}, x),
      dsame(GetParam(), {3, 600}, d);
  OpContext op;
  gelu_forward(op.ctx(), y.t, in.t);
  gelu_forward(op.ctx(), same.t, same.t);
  EXPECT_TRUE(y.same_bits(same));
  gelu_backward(op.ctx(), dx.t, dy.t, in.t);
  gelu_backward(op.ctx(), dsame.t, dsame.t, in.t);
  EXPECT_TRUE(dx.same_bits(dsame));
  const Owned half(GetParam(), {3, 300}, random_values(3 * 300, 7));
  Owned gate_up(GetParam(), {3, 600}, x), dgate_up(GetParam(), {3, 600});
  swiglu_backward(op.ctx(), dgate_up.t, half.t, gate_up.t);
  swiglu_backward(op.ctx(), gate_up.t, half.t, gate_up.t);
  EXPECT_TRUE(gate_up.same_bits(dgate_up));
}

TEST_P(Activation, SwigluComesAgainWithItsGradientInThatsPlace) {
  const Doubles x = random_values(3 * 1402, 5, 4);
  const Owned dy(GetParam(), {3, 701}, random_values(3 * 701, 7), 1);
  Owned gate_up(GetParam(), {3, 1402}, x), dgate_up(GetParam(), {3, 1402}), y(GetParam(), {3, 701}, 1);
  Owned again(GetParam(), {3, 701}, random_values(3 * 701, 7), 1);
  OpContext op;
  swiglu_forward(op.ctx(), y.t, gate_up.t);
  swiglu_backward(op.ctx(), dgate_up.t, dy.t, gate_up.t);
  swiglu_backward(op.ctx(), gate_up.t, again.t, gate_up.t, again.t);
  EXPECT_TRUE(again.same_bits(y));
  EXPECT_TRUE(gate_up.same_bits(dgate_up));
}

TEST(Activation, ExtremesNeitherOverflowNorHideNan) {
  const double inf = HUGE_VAL;
  const Owned x(DType::f32, {1, 8}, Doubles{1e30, -1e30, 88, -88, 0, -0.0, inf, NAN});
  const Owned ones(DType::f32, {1, 8}, Doubles(8, 1.0));
  Owned y(DType::f32, {1, 8}), dx(DType::f32, {1, 8});
  OpContext op;
  gelu_forward(op.ctx(), y.t, x.t);
  gelu_backward(op.ctx(), dx.t, ones.t, x.t);
  expect_close(y.values(), {1e30, 0, 88, 0, 0, 0, inf, NAN}, 1e-6, 1e-30, "gelu");
  expect_close(dx.values(), {1, 0, 1, 0, 0.5, 0.5, 1, NAN}, 1e-6, 1e-30, "gelu slope");
  const Owned gate_up(DType::f32, {1, 8}, Doubles{1e30, -1e30, -200, NAN, 1, 1, 1, 1});
  Owned z(DType::f32, {1, 4}), dgate_up(DType::f32, {1, 8});
  swiglu_forward(op.ctx(), z.t, gate_up.t);
  swiglu_backward(op.ctx(), dgate_up.t, ones.t.slice(1, 0, 4), gate_up.t);
  expect_close(z.values(), {1e30, 0, 0, NAN}, 1e-6, 1e-30, "swiglu");
  expect_close(dgate_up.values(), {1, 0, 0, NAN, 1e30, 0, 0, NAN}, 1e-6, 1e-30, "swiglu slope");
}

TEST_P(Activation, SameBitsAtAnyNumberOfThreads) {
  const Owned x(GetParam(), {90, 602}, random_values(90 * 602, 8, 4)),
      dy(GetParam(), {90, 602}, random_values(90 * 602, 9));
  Owned y(GetParam(), {90, 602}), half(GetParam(), {90, 301});
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) { gelu_forward(ctx, y.t, x.t); });
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) { gelu_backward(ctx, y.t, dy.t, x.t); });
  expect_same_bits_at_any_threads(half, [&](Ctx& ctx) { swiglu_forward(ctx, half.t, x.t); });
  expect_same_bits_at_any_threads(y, [&](Ctx& ctx) { swiglu_backward(ctx, y.t, half.t, x.t); });
}

TEST(Activation, OnMetaCountsAndTouchesNothing) {
  const Owned x(DType::bf16, {4, 6}), half(DType::bf16, {4, 3});
  const auto meta = OpContext::planning();
  gelu_forward(meta->ctx(), on_meta(x.t), on_meta(x.t));
  gelu_backward(meta->ctx(), on_meta(x.t), on_meta(x.t), on_meta(x.t));
  swiglu_forward(meta->ctx(), on_meta(half.t), on_meta(x.t));
  swiglu_backward(meta->ctx(), on_meta(x.t), on_meta(half.t), on_meta(x.t));
  EXPECT_EQ(meta->count().calls, 4);
  EXPECT_EQ(meta->count().bytes, (2 + 3 + 1.5 + 2.5) * 4 * 6 * 2);
  EXPECT_EQ(meta->temp().peak(), 0);
}

TEST(Activation, WrongShapesAreBugs) {
  const Owned x(DType::f32, {4, 6}), y(DType::f32, {4, 5});
  OpContext op;
  EXPECT_THROW(gelu_forward(op.ctx(), y.t, x.t), Bug);
  EXPECT_THROW(swiglu_forward(op.ctx(), y.t, x.t), Bug);
}

}  // namespace
}  // namespace trireme
