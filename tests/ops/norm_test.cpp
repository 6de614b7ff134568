#include "ops/norm.h"

#include "ops/op_test.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

constexpr double kEps = 1e-5;

struct Reference {
  Doubles y, mean, rstd;
};

/// Rows of `c` values; `bias` empty: RMSNorm.
Reference reference_forward(const Doubles& x, const Doubles& weight, const Doubles& bias) {
  const size_t c = weight.size();
  Reference out;
  for (size_t r = 0; r < x.size() / c; ++r) {
    double mean = 0, square = 0;
    if (!bias.empty())
      for (size_t i = 0; i < c; ++i) mean += x[r * c + i] / static_cast<double>(c);
    for (size_t i = 0; i < c; ++i) square += std::pow(x[r * c + i] - mean, 2) / static_cast<double>(c);
    const double rstd = 1 / std::sqrt(square + kEps);
    for (size_t i = 0; i < c; ++i)
      out.y.push_back((x[r * c + i] - mean) * rstd * weight[i] + (bias.empty() ? 0 : bias[i]));
    out.mean.push_back(mean);
    out.rstd.push_back(rstd);
  }
  return out;
}

struct Gradients {
  Doubles dx, dweight, dbias;
  Doubles dweight_size, dbias_size;  // sums of the absolute values of the same terms
};

Gradients reference_backward(const Doubles& dy, const Doubles& x, const Doubles& weight, const Reference& f,
                             bool layer) {
  const size_t c = weight.size();
  Gradients out{{}, Doubles(c), Doubles(c), Doubles(c), Doubles(c)};
  for (size_t r = 0; r < x.size() / c; ++r) {
    double g_mean = 0, g_xhat_mean = 0;
    const auto xhat = [&](size_t i) { return (x[r * c + i] - f.mean[r]) * f.rstd[r]; };
    for (size_t i = 0; i < c; ++i) {
      const double g = dy[r * c + i] * weight[i];
      g_mean += layer ? g / static_cast<double>(c) : 0;
      g_xhat_mean += g * xhat(i) / static_cast<double>(c);
      out.dweight[i] += dy[r * c + i] * xhat(i);
      out.dbias[i] += dy[r * c + i];
      out.dweight_size[i] += std::abs(dy[r * c + i] * xhat(i));
      out.dbias_size[i] += std::abs(dy[r * c + i]);
    }
    for (size_t i = 0; i < c; ++i)
      out.dx.push_back(f.rstd[r] * (dy[r * c + i] * weight[i] - g_mean - xhat(i) * g_xhat_mean));
  }
  return out;
}

/// One problem in some storage type and shape: RMSNorm, or LayerNorm where `layer`.
struct Problem {
  Problem(DType dtype, const Shape& shape, bool is_layer, int64_t pad = 0)
      : layer(is_layer),
        channels(shape[shape.rank - 1]),
        rows(shape.numel() / channels),
        residual(dtype, shape, random_values(shape.numel(), 1, 3), pad),
        delta(dtype, shape, random_values(shape.numel(), 2), pad == 0 ? 0 : pad + 1),
        x(dtype, shape, pad),
        y(dtype, shape, pad == 0 ? 0 : pad + 2),
        dy(dtype, shape, random_values(shape.numel(), 3), pad),
        dx(dtype, shape, random_values(shape.numel(), 4), pad),
        weight(dtype, {channels}, random_values(channels, 5, 1.5)),
        bias(dtype, {channels}, random_values(channels, 6)),
        mean(DType::f32, {rows}),
        rstd(DType::f32, {rows}),
        dweight(DType::f32, {channels}, random_values(channels, 7)),
        dbias(DType::f32, {channels}, random_values(channels, 8)) {}

  void forward(Ctx& ctx, const Tensor& to, const Tensor& sum, const Tensor& from, const Tensor& added) {
    const auto eps = static_cast<float>(kEps);
    if (layer)
      layer_norm_forward(ctx, to, sum, mean.t, rstd.t, from, added, weight.t, bias.t, eps);
    else
      rms_norm_forward(ctx, to, sum, rstd.t, from, added, weight.t, eps);
  }
  void backward(Ctx& ctx, const Tensor& to, const Tensor& from_dy, const Tensor& from, bool accumulate,
                const RowSums& sums = {}) {
    if (layer)
      layer_norm_backward(ctx, to, dweight.t, dbias.t, from_dy, from, weight.t, mean.t, rstd.t, accumulate, sums);
    else
      rms_norm_backward(ctx, to, dweight.t, from_dy, from, weight.t, rstd.t, accumulate, sums);
  }
  Reference want(const Doubles& from) const {
    return reference_forward(from, weight.values(), layer ? bias.values() : Doubles());
  }

  bool layer;
  int64_t channels, rows;
  Owned residual, delta, x, y, dy, dx, weight, bias, mean, rstd, dweight, dbias;
};

Doubles sum(Doubles a, const Doubles& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// Each term of a parameter gradient carries the roundings of xhat, about eight more.
void expect_sums(const Doubles& got, const Doubles& before, const Doubles& added, const Doubles& size, int64_t rows) {
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = before[i] + added[i];
    EXPECT_NEAR(got[i], want, sum_bound(rows + 8, size[i] + std::abs(before[i]), want, DType::f32)) << i;
  }
}

class Norm : public ::testing::TestWithParam<std::tuple<DType, bool>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  bool layer() const { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Kinds, Norm, ::testing::Combine(storage_types(), ::testing::Bool()), [](const auto& test) {
  return std::string(std::get<1>(test.param) ? "layer_" : "rms_") + std::string(dtype_name(std::get<0>(test.param)));
});

constexpr double kSumBits = 0x1p-22;  // of sums of a few hundred terms of order one, in f32

TEST_P(Norm, ForwardMatchesTheDoubleReference) {
  for (const Shape& shape : {Shape{5, 37}, Shape{4, 1100}, Shape{3, 4, 24}}) {
    for (const int64_t pad : {0, 7}) {
      Problem p(dtype(), shape, layer(), pad);
      OpContext op;
      p.forward(op.ctx(), p.y.t, p.x.t, p.residual.t, p.delta.t);
      expect_close(p.x.values(), sum(p.residual.values(), p.delta.values()), rounding(dtype(), 1), 0, "x");
      const Reference want = p.want(p.x.values());
      expect_close(p.rstd.values(), want.rstd, 8 * kSumBits, 0, "rstd");
      if (layer()) expect_close(p.mean.values(), want.mean, 0, 4 * kSumBits, "mean");
      expect_close(p.y.values(), want.y, rounding(dtype(), 8), 8 * kSumBits, "y");
      EXPECT_TRUE(p.x.padding_intact() && p.y.padding_intact());

      p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
      expect_close(p.y.values(), p.want(p.residual.values()).y, rounding(dtype(), 8), 8 * kSumBits, "y alone");
    }
  }
}

TEST_P(Norm, BackwardMatchesTheDoubleReference) {
  for (const Shape& shape : {Shape{150, 37}, Shape{4, 1100}, Shape{3, 4, 24}}) {
    for (const bool accumulate : {false, true}) {
      Problem p(dtype(), shape, layer(), accumulate ? 3 : 0);
      OpContext op;
      p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
      const Doubles dx = p.dx.values(), dweight = p.dweight.values(), dbias = p.dbias.values();
      p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, accumulate);
      const Doubles x = p.residual.values();
      const Gradients want = reference_backward(p.dy.values(), x, p.weight.values(), p.want(x), layer());
      expect_close(p.dx.values(), accumulate ? sum(want.dx, dx) : want.dx, rounding(dtype(), 8), 16 * kSumBits, "dx");
      expect_sums(p.dweight.values(), dweight, want.dweight, want.dweight_size, p.rows);
      if (layer()) expect_sums(p.dbias.values(), dbias, want.dbias, want.dbias_size, p.rows);
      EXPECT_TRUE(p.dx.padding_intact());
      EXPECT_EQ(op.temp().mark(), 0);
    }
  }
}

TEST_P(Norm, TheRowsOfDxAreSummedBeforeAndAfter) {
  for (const int64_t pad : {0, 3}) {
    const Shape shape{150, 37};
    Problem p(dtype(), shape, layer(), pad);
    Owned before(DType::f32, {37}, random_values(37, 9)), after(DType::f32, {37}, random_values(37, 10));
    const auto expect_sum = [&](const Owned& got, const Doubles& old, const Doubles& dx) {
      Doubles total(37), size(37);
      for (size_t i = 0; i < dx.size(); ++i) {
        total[i % 37] += dx[i];
        size[i % 37] += std::abs(dx[i]);
      }
      expect_sums(got.values(), old, total, size, 150);
    };
    OpContext op;
    p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
    const Doubles dx = p.dx.values(), old_before = before.values(), old_after = after.values();
    p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, true, {before.t, after.t});
    expect_sum(before, old_before, dx);
    expect_sum(after, old_after, p.dx.values());
    p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, true, {Tensor(), after.t});
    EXPECT_THROW(p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, false, {before.t, after.t}), Bug);
  }
}

TEST_P(Norm, ParameterGradientsAreOptional) {
  Problem p(dtype(), {70, 33}, layer());
  Owned alone(dtype(), {70, 33});
  OpContext op;
  p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
  p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, false);
  if (layer())
    layer_norm_backward(op.ctx(), alone.t, Tensor(), Tensor(), p.dy.t, p.residual.t, p.weight.t, p.mean.t, p.rstd.t,
                        false);
  else
    rms_norm_backward(op.ctx(), alone.t, Tensor(), p.dy.t, p.residual.t, p.weight.t, p.rstd.t, false);
  EXPECT_TRUE(alone.same_bits(p.dx));
}

TEST_P(Norm, BackwardMatchesCentralDifferences) {
  if (dtype() != DType::f32) return;
  Problem p(DType::f32, {3, 9}, layer());
  const Doubles x = p.residual.values(), dy = p.dy.values(), weight = p.weight.values();
  const Doubles bias = layer() ? p.bias.values() : Doubles();
  const auto loss = [&](const Doubles& at_x, const Doubles& at_weight) {
    const Doubles y = reference_forward(at_x, at_weight, bias).y;
    double total = 0;
    for (size_t i = 0; i < y.size(); ++i) total += y[i] * dy[i];
    return total;
  };
  const auto slope = [](const auto& f, Doubles at, size_t i) {
    const double h = 1e-5, middle = at[i];
    at[i] = middle + h;
    const double above = f(at);
    at[i] = middle - h;
    return (above - f(at)) / (2 * h);
  };
  Doubles dx, dweight = p.dweight.values();
  for (size_t i = 0; i < x.size(); ++i) dx.push_back(slope([&](const Doubles& at) { return loss(at, weight); }, x, i));
  for (size_t i = 0; i < weight.size(); ++i)
    dweight[i] += slope([&](const Doubles& at) { return loss(x, at); }, weight, i);
  OpContext op;
  p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
  p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, false);
  expect_close(p.dx.values(), dx, 1e-5, 2e-6, "dx");
  expect_close(p.dweight.values(), dweight, 1e-5, 2e-6, "dweight");
}

TEST_P(Norm, AliasesThatTheHeaderAllowsChangeNothing) {
  const Shape shape{6, 600};
  OpContext op;
  Problem p(dtype(), shape, layer());
  p.forward(op.ctx(), p.y.t, p.x.t, p.residual.t, p.delta.t);
  Problem a(dtype(), shape, layer()), b(dtype(), shape, layer()), c(dtype(), shape, layer());
  a.forward(op.ctx(), a.y.t, a.residual.t, a.residual.t, a.delta.t);
  EXPECT_TRUE(a.residual.same_bits(p.x));
  EXPECT_TRUE(a.y.same_bits(p.y));
  b.forward(op.ctx(), b.y.t, b.delta.t, b.residual.t, b.delta.t);
  EXPECT_TRUE(b.delta.same_bits(p.x));
  EXPECT_TRUE(b.y.same_bits(p.y));
  c.forward(op.ctx(), p.y.t, Tensor(), c.residual.t, Tensor());
  c.backward(op.ctx(), p.dx.t, c.dy.t, c.residual.t, false);
  c.backward(op.ctx(), c.dy.t, c.dy.t, c.residual.t, false);
  EXPECT_TRUE(c.dy.same_bits(p.dx));
  c.forward(op.ctx(), c.residual.t, Tensor(), c.residual.t, Tensor());
  EXPECT_TRUE(c.residual.same_bits(p.y));
}

TEST_P(Norm, SameBitsAtAnyNumberOfThreads) {
  Problem p(dtype(), {333, 301}, layer());
  const Doubles dweight = p.dweight.values();
  expect_same_bits_at_any_threads(p.y, [&](Ctx& ctx) { p.forward(ctx, p.y.t, p.x.t, p.residual.t, p.delta.t); });
  const auto backward = [&](Ctx& ctx) {
    write(p.dweight.t, dweight);
    p.backward(ctx, p.dx.t, p.dy.t, p.x.t, false);
  };
  expect_same_bits_at_any_threads(p.dweight, backward);
  expect_same_bits_at_any_threads(p.dx, backward);
}

TEST_P(Norm, ThePlanTakesTheSameScratch) {
  Problem p(dtype(), {333, 40}, layer());
  OpContext real;
  const auto meta = OpContext::planning();
  p.forward(real.ctx(), p.y.t, p.x.t, p.residual.t, p.delta.t);
  p.backward(real.ctx(), p.dx.t, p.dy.t, p.x.t, true);
  for (Owned* t :
       {&p.y, &p.x, &p.residual, &p.delta, &p.dx, &p.dy, &p.weight, &p.bias, &p.mean, &p.rstd, &p.dweight, &p.dbias})
    t->t = on_meta(t->t);
  p.forward(meta->ctx(), p.y.t, p.x.t, p.residual.t, p.delta.t);
  p.backward(meta->ctx(), p.dx.t, p.dy.t, p.x.t, true);
  EXPECT_EQ(meta->temp().peak(), real.temp().peak());
  EXPECT_GT(real.temp().peak(), 0);
  EXPECT_EQ(meta->count().bytes, real.count().bytes);
}

TEST_P(Norm, EqualRowsStayFiniteAndNanStaysInItsRow) {
  const Shape shape{3, 40};
  Problem p(dtype(), shape, layer());
  Doubles values(120, 2.0);
  for (size_t i = 40; i < 80; ++i) values[i] = 0;
  values[85] = NAN;
  write(p.residual.t, values);
  OpContext op;
  p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, Tensor());
  p.backward(op.ctx(), p.dx.t, p.dy.t, p.residual.t, false);
  const Doubles y = p.y.values(), dx = p.dx.values(), bias = p.bias.values(), weight = p.weight.values();
  for (size_t i = 0; i < 80; ++i) EXPECT_TRUE(std::isfinite(y[i]) && std::isfinite(dx[i])) << i;
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_NEAR(y[i], layer() ? bias[i] : weight[i], 0.01 * std::abs(weight[i]) + 1e-3);
    EXPECT_EQ(y[40 + i], layer() ? bias[i] : 0);
    EXPECT_TRUE(std::isnan(y[80 + i]) && std::isnan(dx[80 + i]));
  }
}

TEST(NormChecks, WrongShapesAreBugs) {
  Problem p(DType::f32, {4, 8}, false);
  const Owned narrow(DType::f32, {4, 7});
  OpContext op;
  EXPECT_THROW(p.forward(op.ctx(), p.y.t, Tensor(), narrow.t, Tensor()), Bug);
  EXPECT_THROW(p.forward(op.ctx(), p.y.t, Tensor(), p.residual.t, p.delta.t), Bug);
}

}  // namespace
}  // namespace trireme
