// Products of few rows on the GPU, and what they take along: the bits of ops one after the other, and the CPU's values.
#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cuda_op_test.h"
#include "ops/matmul.h"
#include "ops/norm.h"

namespace trireme {
namespace {

using namespace trireme::testing;

enum class Beside : uint8_t { none, residual, gelu, swiglu };

struct Case {
  int64_t m, n, k;
  bool packs = true;  // else, in 16 bits, nothing comes along
};

class CudaFewRows : public CudaTest, public ::testing::WithParamInterface<std::tuple<DType, bool>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  bool layer() const { return std::get<1>(GetParam()); }

  /// norm(x) . b^T + bias, with a side: in one call, and in one an op.
  struct Problem {
    const Twin &x, &weight, &shift, &b, &bias, &residual, &c, &act, &apart, &apart_act;
    bool layer, has_bias;
    Beside side;

    void together(const Side& on) const {
      const NormArgs norm{on(weight), layer ? on(shift) : Tensor(), 1e-5F};
      const Tensor bias_there = on(bias), residual_there = on(residual), act_there = on(act), c_there = on(c);
      const bool gelu = side == Beside::gelu;
      matmul(on.ctx, gelu ? act_there : c_there, on(x), on(b),
             {.transpose_b = true,
              .bias = has_bias ? &bias_there : nullptr,
              .norm = &norm,
              .residual = side == Beside::residual ? &residual_there : nullptr,
              .before_gelu = gelu ? &c_there : nullptr,
              .swiglu = side == Beside::swiglu ? &act_there : nullptr});
    }
    void one_by_one(const Side& on, const Tensor& y, const Tensor& mean, const Tensor& rstd) const {
      if (layer)
        layer_norm_forward(on.ctx, y, {}, mean, rstd, on(x), {}, on(weight), on(shift), 1e-5F);
      else
        rms_norm_forward(on.ctx, y, {}, rstd, on(x), {}, on(weight), 1e-5F);
      const Tensor bias_there = on(bias);
      matmul(on.ctx, on(apart), y, on(b), {.transpose_b = true, .bias = has_bias ? &bias_there : nullptr});
      if (side == Beside::residual) add(on.ctx, on(apart), on(residual), on(apart));
      if (side == Beside::gelu) gelu_forward(on.ctx, on(apart_act), on(apart));
      if (side == Beside::swiglu) swiglu_forward(on.ctx, on(apart_act), on(apart));
    }
  };

  void check(const Case& s, Beside side, bool has_bias, DType to) {
    SCOPED_TRACE(cat(s.m, " x ", s.n, " x ", s.k, ", side ", static_cast<int>(side), has_bias ? ", bias" : "", " to ",
                     dtype_name(to)));
    const int64_t acts = side == Beside::swiglu ? s.n / 2 : s.n, pad = s.packs ? 8 : 0;
    const auto out = [&](int64_t columns) -> const Twin& {
      return twin(to, {s.m, columns}, Doubles(static_cast<size_t>(s.m * columns), 7.0), 3);
    };
    const Twin& y = blank(dtype(), {s.m, s.k});
    const Twin &mean = blank(DType::f32, {s.m}), &rstd = blank(DType::f32, {s.m});
    const Problem p{.x = twin(dtype(), {s.m, s.k}, random_values(s.m * s.k, 1, 3), pad),
                    .weight = twin(dtype(), {s.k}, random_values(s.k, 2)),
                    .shift = twin(dtype(), {s.k}, random_values(s.k, 3)),
                    .b = twin(dtype(), {s.n, s.k}, random_values(s.n * s.k, 4, 0.3), pad),
                    .bias = twin(dtype(), {s.n}, random_values(s.n, 5)),
                    .residual = twin(to, {s.m, s.n}, random_values(s.m * s.n, 6), 5),
                    .c = out(s.n),
                    .act = out(acts),
                    .apart = out(s.n),
                    .apart_act = out(acts),
                    .layer = layer(),
                    .has_bias = has_bias,
                    .side = side};
    run_both([&](const Side& on) {
      p.together(on);
      p.one_by_one(on, on(y), on(mean), on(rstd));
    });
    const bool exact = (s.packs && s.m <= 4) || side != Beside::residual;  // else a sum may be rounded once
    if (exact) {
      EXPECT_EQ(p.c.got(), p.apart.got());
      EXPECT_EQ(p.act.got(), p.apart_act.got());
    }
    // Each of k terms is a norm's value, of at most a few units and rounded, times at most 0.3.
    const double terms = static_cast<double>(s.k + 8);
    const double absolute = 2 * terms * dtype_epsilon(DType::f32) + rounding(dtype(), 0) * std::sqrt(terms) * 4;
    expect_twins_close(p.c, rounding(to, 4), absolute + rounding(to, 0) * 4, "c");
    forget();
  }
};

TEST_P(CudaFewRows, NormAndSideComeAlongWithTheBitsOfOpsApart) {
  for (const Case& s : {Case{1, 74, 4104},
                        {1, 700, 264},
                        {1, 38, 40},
                        {1, 64, 96},
                        {2, 514, 1024},
                        {4, 700, 264},
                        {3, 38, 40},
                        {1, 300, 8},
                        {1, 6702, 72},
                        {4, 64, 4096},
                        {2, 130, 4096},
                        {1, 40, 8192},
                        {1, 66, 12288},
                        {3, 50, 101, false},
                        {5, 64, 96},
                        {4, 32, 8192},
                        {3, 300, 2056},
                        {1, 70, 14336},
                        {2, 22, 16384}})
    for (const Beside side : {Beside::none, Beside::residual, Beside::gelu, Beside::swiglu})
      for (const bool bias : {false, true}) check(s, side, bias, dtype());
}

TEST_P(CudaFewRows, OddColumnsAndF32ResultsToo) {
  for (const Case& s : {Case{1, 6703, 72}, {2, 37, 1024}, {3, 1, 64}, {4, 701, 264}})
    for (const DType to : {dtype(), DType::f32})
      for (const Beside side : {Beside::none, Beside::residual, Beside::gelu})
        for (const bool bias : {false, true}) check(s, side, bias, to);
}

/// So many that a block's sums are added up several times.
TEST_P(CudaFewRows, ManyColumnsOfLongRows) {
  if (layer()) GTEST_SKIP() << "the norm makes no difference here";
  check({1, 17300, dtype() == DType::f32 ? 1024 : 2048}, Beside::swiglu, false, dtype());
  if (dtype() == DType::f32) check({1, 17301, 1024}, Beside::residual, true, dtype());
}

INSTANTIATE_TEST_SUITE_P(Kinds, CudaFewRows, ::testing::Combine(storage_types(), ::testing::Bool()),
                         [](const auto& test) {
                           return std::string(std::get<1>(test.param) ? "layer_" : "rms_") +
                                  std::string(dtype_name(std::get<0>(test.param)));
                         });

}  // namespace
}  // namespace trireme
