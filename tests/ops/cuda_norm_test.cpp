// Norms on the GPU against the CPU's in f32.
#include "ops/basic.h"
#include "ops/cuda_op_test.h"
#include "ops/norm.h"
#include "support/tolerance.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaNorm : public CudaTest, public ::testing::WithParamInterface<std::tuple<DType, bool>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  bool layer() const { return std::get<1>(GetParam()); }

  /// Multiples of 1/16 up to 4: sums of two are exact in every storage type.
  static Doubles exact_values(int64_t n, uint64_t seed) {
    Doubles values = random_values(n, seed, 4);
    for (double& v : values) v = std::round(v * 16) / 16;
    return values;
  }

  struct Problem {
    Twin &residual, &delta, &weight, &bias, &x, &y, &mean, &rstd, &dy, &dx, &dweight, &dbias;
    int64_t channels;
    bool layer;

    void forward(const Side& on, bool with_delta) const {
      const Tensor sum = with_delta ? on(x) : Tensor(), added = with_delta ? on(delta) : Tensor();
      if (layer)
        layer_norm_forward(on.ctx, on(y), sum, on(mean), on(rstd), on(residual), added, on(weight), on(bias), 1e-5F);
      else
        rms_norm_forward(on.ctx, on(y), sum, on(rstd), on(residual), added, on(weight), 1e-5F);
    }
    void backward(const Side& on, const Tensor& to, bool accumulate, bool with_parameters = true,
                  const RowSums& sums = {}) const {
      const Tensor dw = with_parameters ? on(dweight) : Tensor(), db = with_parameters ? on(dbias) : Tensor();
      if (layer)
        layer_norm_backward(on.ctx, to, dw, db, on(dy), on(x), on(weight), on(mean), on(rstd), accumulate, sums);
      else
        rms_norm_backward(on.ctx, to, dw, on(dy), on(x), on(weight), on(rstd), accumulate, sums);
    }
  };

  Problem problem(const Shape& shape, int64_t pad, DType weight_type) {
    const int64_t n = shape.numel(), channels = shape[shape.rank - 1], rows = n / channels;
    return {.residual = twin(dtype(), shape, exact_values(n, 1), pad),
            .delta = twin(dtype(), shape, exact_values(n, 2), pad),
            .weight = twin(weight_type, {channels}, random_values(channels, 3, 1.5)),
            .bias = twin(weight_type, {channels}, random_values(channels, 4)),
            .x = blank(dtype(), shape, pad),
            .y = blank(dtype(), shape, pad),
            .mean = blank(DType::f32, {rows}),
            .rstd = blank(DType::f32, {rows}),
            .dy = twin(dtype(), shape, random_values(n, 5), pad),
            .dx = twin(dtype(), shape, random_values(n, 6), pad),
            .dweight = twin(DType::f32, {channels}, random_values(channels, 7)),
            .dbias = twin(DType::f32, {channels}, random_values(channels, 8)),
            .channels = channels,
            .layer = layer()};
  }
  Problem problem(const Shape& shape, int64_t pad = 0) { return problem(shape, pad, dtype()); }

  void expect_forward(const Problem& p) const {
    expect_twins_close(p.rstd, 16 * kUnit, 0, "rstd");
    if (layer()) expect_twins_close(p.mean, 0, 16 * kUnit, "mean");
    expect_twins_close(p.y, rounding(dtype(), 16), 32 * kUnit, "y");
  }
  void expect_backward(const Problem& p) const {
    const int64_t rows = p.x.gpu().numel() / p.channels;
    expect_twins_close(p.dx, rounding(dtype(), 16), 32 * kUnit, "dx");
    // |dy xhat| is below 4, a term's roundings eight, the order of sums free on both sides.
    const double bound = 2 * sum_bound(rows + 8, 4.0 * static_cast<double>(rows) + 1, 0, DType::f32);
    expect_twins_close(p.dweight, 0, bound, "dweight");
    if (layer()) expect_twins_close(p.dbias, 0, bound, "dbias");
  }

  static constexpr double kUnit = 0x1p-22;  // of sums of a few thousand terms of order one, in f32
};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaNorm, ::testing::Combine(storage_types(), ::testing::Bool()), [](const auto& test) {
  return std::string(std::get<1>(test.param) ? "layer_" : "rms_") + std::string(dtype_name(std::get<0>(test.param)));
});

/// One thread to whole blocks a row; rows that fill their packs and rows that do not; heads.
const Shape kShapes[] = {{1, 1},      {1, 8},     {5, 37},   {4, 1100}, {150, 40}, {33, 768},  {9, 1600}, {3, 4, 24},
                         {2, 5, 128}, {17, 2048}, {3, 4096}, {2, 5120}, {2, 8192}, {2, 12288}, {2, 16392}};

TEST_P(CudaNorm, ForwardMatchesTheCpu) {
  for (const Shape& shape : kShapes) {
    for (const int64_t pad : {0, 3, 8}) {
      SCOPED_TRACE(cat(shape.str(), " pad ", pad));
      for (const bool with_delta : {true, false}) {
        const Problem p = problem(shape, pad);
        run_both([&](const Side& on) { p.forward(on, with_delta); });
        if (with_delta) {
          EXPECT_EQ(p.x.got(), p.x.want());
        }
        expect_forward(p);
        forget();
      }
    }
  }
}

TEST_P(CudaNorm, BackwardMatchesTheCpu) {
  for (const Shape& shape : kShapes) {
    for (const int64_t pad : {0, 3, 8}) {
      SCOPED_TRACE(cat(shape.str(), " pad ", pad));
      for (const bool accumulate : {false, true}) {
        const Problem p = problem(shape, pad);
        run_both([&](const Side& on) {
          p.forward(on, true);
          p.backward(on, on(p.dx), accumulate);
        });
        expect_backward(p);
        forget();
      }
    }
  }
}

TEST_P(CudaNorm, ManyRowsGoRoundEveryBlock) {
  for (const Shape& shape : {Shape{5000, 64}, Shape{1500, 16, 32}, Shape{3001, 40}, Shape{700, 1024}}) {
    SCOPED_TRACE(shape.str());
    const Problem p = problem(shape);
    run_both([&](const Side& on) {
      p.forward(on, true);
      p.backward(on, on(p.dx), true);
    });
    expect_forward(p);
    expect_backward(p);
    forget();
  }
}

TEST_P(CudaNorm, TheSumsOfDxsRowsMatchTheCpu) {
  for (const Shape& shape : {Shape{33, 768}, Shape{1, 768}, Shape{700, 1024}, Shape{9, 1600}, Shape{1100, 2048},
                             Shape{5, 37}, Shape{3001, 264}, Shape{30, 1280}, Shape{3, 2560}, Shape{2, 4096}}) {
    for (const int64_t pad : {0, 3, 8}) {
      SCOPED_TRACE(cat(shape.str(), " pad ", pad));
      const Problem p = problem(shape, pad);
      const auto channels = static_cast<size_t>(p.channels);
      Twin& before = twin(DType::f32, {p.channels}, random_values(p.channels, 9));
      Twin& after = twin(DType::f32, {p.channels}, random_values(p.channels, 10));
      run_both([&](const Side& on) {
        p.forward(on, true);
        p.backward(on, on(p.dx), true, true, {on(before), on(after)});
      });
      expect_backward(p);
      const auto rows = static_cast<double>(shape[0]);
      expect_twins_close(before, 0, 2 * sum_bound(shape[0] + 2, rows + 1, 0, DType::f32), "before");
      // The GPU sums what it has before it is rounded.
      Doubles size(channels, 1.0);
      const Doubles dx = p.dx.want(), got = after.got(), want = after.want();
      for (size_t i = 0; i < dx.size(); ++i) size[i % channels] += std::abs(dx[i]) + 1;
      for (size_t c = 0; c < channels; ++c)
        EXPECT_NEAR(got[c], want[c],
                    rounding(dtype(), 16) * size[c] + 2 * sum_bound(shape[0] + 16, 4 * size[c], 0, DType::f32))
            << c;
      forget();
      if (shape[0] > 500 && pad == 3) break;  // the CPU's side takes its time
    }
  }
}

TEST_P(CudaNorm, AliasesThatTheHeaderAllowsChangeNothing) {
  for (const Shape& shape : {Shape{6, 768}, Shape{6, 601}}) {
    const Problem p = problem(shape);
    Twin& y = blank(dtype(), shape);
    Twin& dx = blank(dtype(), shape);
    Twin& again = twin(dtype(), shape, p.residual.want());
    run_both([&](const Side& on) {
      p.forward(on, true);
      p.backward(on, on(dx), false, false);
      p.backward(on, on(p.dy), false);  // over dy
      Problem q = p;
      if (layer()) {
        layer_norm_forward(on.ctx, on(y), on(q.residual), on(q.mean), on(q.rstd), on(q.residual), on(q.delta),
                           on(q.weight), on(q.bias), 1e-5F);
        layer_norm_forward(on.ctx, on(again), Tensor(), on(q.mean), on(q.rstd), on(again), Tensor(), on(q.weight),
                           on(q.bias), 1e-5F);
      } else {
        rms_norm_forward(on.ctx, on(y), on(q.delta), on(q.rstd), on(q.residual), on(q.delta), on(q.weight), 1e-5F);
        rms_norm_forward(on.ctx, on(again), Tensor(), on(q.rstd), on(again), Tensor(), on(q.weight), 1e-5F);
      }
    });
    EXPECT_EQ(y.got(), p.y.got());
    EXPECT_EQ(p.dy.got(), dx.got());
    EXPECT_EQ((layer() ? p.residual : p.delta).got(), p.x.got());
    expect_twins_close(again, rounding(dtype(), 16), 32 * kUnit, "y over the residual");
    forget();
  }
}

TEST_P(CudaNorm, ParametersMayHaveAnotherType) {
  const Problem p = problem({40, 768}, 0, DType::f32);
  run_both([&](const Side& on) {
    p.forward(on, true);
    p.backward(on, on(p.dx), true);
  });
  expect_forward(p);
  expect_backward(p);
}

TEST_P(CudaNorm, TheSumIsRoundedBeforeItIsNormed) {
  for (const Shape& shape : {Shape{7, 768}, Shape{7, 77}}) {
    const int64_t n = shape.numel(), channels = shape[1];
    Twin& residual = same_type_twin(dtype(), shape, random_values(n, 1, 3));
    Twin& delta = same_type_twin(dtype(), shape, random_values(n, 2));
    Twin& weight = same_type_twin(dtype(), {channels}, random_values(channels, 3));
    Twin& x = same_type_twin(dtype(), shape, random_values(n, 4));
    Twin& y = same_type_twin(dtype(), shape, random_values(n, 4));
    Twin& y_of_x = same_type_twin(dtype(), shape, random_values(n, 4));
    Twin& rstd = blank(DType::f32, {shape[0]});
    run_both([&](const Side& on) {
      rms_norm_forward(on.ctx, on(y), on(x), on(rstd), on(residual), on(delta), on(weight), 1e-5F);
      rms_norm_forward(on.ctx, on(y_of_x), Tensor(), on(rstd), on(x), Tensor(), on(weight), 1e-5F);
    });
    EXPECT_TRUE(x.same_bits());
    EXPECT_EQ(y.got(), y_of_x.got());
    forget();
  }
}

TEST_P(CudaNorm, EqualRowsStayFiniteAndNanStaysInItsRow) {
  const Shape shape{3, 40};
  const Problem p = problem(shape);
  Doubles values(120, 2.0);
  for (size_t i = 40; i < 80; ++i) values[i] = 0;
  values[85] = NAN;
  Twin& residual = twin(dtype(), shape, values);
  const Problem q{residual, p.delta, p.weight, p.bias,    residual, p.y,        p.mean,
                  p.rstd,   p.dy,    p.dx,     p.dweight, p.dbias,  p.channels, p.layer};
  run_both([&](const Side& on) {
    q.forward(on, false);
    q.backward(on, on(q.dx), false);
  });
  const Doubles y = q.y.got(), dx = q.dx.got();
  for (size_t i = 0; i < 120; ++i) {
    EXPECT_EQ(std::isnan(y[i]), i >= 80) << i;
    EXPECT_EQ(std::isfinite(dx[i]), i < 80) << i;
  }
}

}  // namespace
}  // namespace trireme
