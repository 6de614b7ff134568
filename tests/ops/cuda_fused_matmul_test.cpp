// Products with an activation in the same pass on the GPU: against the CPU's, and against two ops.
#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cuda/fused_product.h"
#include "ops/cuda_op_test.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

using namespace trireme::testing;

/// Sizes that kernels with an activation in the same pass take: columns of the activation, rows and terms of any
/// number.
class CudaFusedMatmul : public CudaTest {
 protected:
  struct Size {
    int64_t m, f, k;
    bool chosen_by_trying = false;
  };
  /// The last ones are several tiles for each warp group; the last is large enough to be tried against two ops.
  static std::vector<Size> sizes() {
    return {{64, 256, 64},   {5, 256, 8},      {130, 200, 40},         {300, 512, 200},
            {1000, 768, 72}, {2100, 2560, 64}, {2100, 2560, 264, true}};
  }
  /// Whether such a kernel must have been taken, so that bits equal those of two ops.
  bool is_fused(const Size& size) { return !size.chosen_by_trying && cuda::has_fused(*gpu().cuda); }
  /// check(size) of all, each named and with memory of its own.
  template <class Check>
  void for_each_size(Check check) {
    for (const Size& size : sizes()) {
      SCOPED_TRACE(cat(size.m, " x ", size.f, " x ", size.k, size.chosen_by_trying ? " tried" : ""));
      set_up_both([&](Ctx& ctx) { ctx.deterministic = !size.chosen_by_trying; });
      check(size);
      forget();
    }
  }
};

TEST_F(CudaFusedMatmul, WritesGateUpAndTheirSwiglu) {
  for_each_size([&](const Size& size) {
    const auto [m, f, k, tried] = size;
    const Twin& a = twin(DType::bf16, {m, k}, random_values(m * k, 1), 8);
    const Twin& b = twin(DType::bf16, {2 * f, k}, random_values(2 * f * k, 2), 8);
    const Twin &c = blank(DType::bf16, {m, 2 * f}, 8), &act = blank(DType::bf16, {m, f}, 8);
    const Twin& apart = blank(DType::bf16, {m, f});
    run_both([&](const Side& on) {
      const Tensor act_there = on(act);
      matmul(on.ctx, on(c), on(a), on(b), {.transpose_b = true, .swiglu = &act_there});
      swiglu_forward(on.ctx, on(apart), on(c));
    });
    const double absolute = dtype_epsilon(DType::f32) * static_cast<double>(k + 2);
    expect_twins_close(c, rounding(DType::bf16, 2), absolute, "gate and up");
    EXPECT_EQ(act.got(), apart.got());
  });
}

TEST_F(CudaFusedMatmul, TurnsGateAndUpIntoTheirGradients) {
  for_each_size([&](const Size& size) {
    const auto [m, f, k, tried] = size;
    const Twin& dy = twin(DType::bf16, {m, k}, random_values(m * k, 1), 8);
    const Twin& weight = twin(DType::bf16, {k, f}, random_values(k * f, 2), 8);
    const Twin& gate_up = twin(DType::bf16, {m, 2 * f}, random_values(2 * m * f, 3, 3), 8);
    const Twin& scratch = blank(DType::bf16, {m, f});
    run_both([&](const Side& on) {
      const Tensor there = on(gate_up);
      matmul(on.ctx, on(scratch), on(dy), on(weight), {.before_swiglu = &there});
      fill(on.ctx, on(scratch), 0);  // what is left there depends on how it was done
    });
    // The gradient of SwiGLU is rounded into storage, and then those of gate and up are.
    const double absolute = 10 * dtype_epsilon(DType::f32) * static_cast<double>(k + 2);
    expect_twins_close(gate_up, 2 * rounding(DType::bf16, 4), absolute, "gradients of gate and up");
  });
}

/// Small whole numbers, whose products have one sum in whatever order.
Doubles whole_numbers(int64_t n, uint64_t seed) {
  Doubles values = random_values(n, seed, 2.5);
  for (double& v : values) v = std::round(v);
  return values;
}

TEST_F(CudaFusedMatmul, WritesWhatIsBeforeGeluAndItsGelu) {
  for (const bool with_bias : {true, false})
    for_each_size([&](const Size& size) {
      SCOPED_TRACE(with_bias ? "with bias" : "without bias");
      const auto [m, f, k, tried] = size;
      const Twin& a = twin(DType::bf16, {m, k}, random_values(m * k, 1), 8);
      const Twin& b = twin(DType::bf16, {f, k}, random_values(f * k, 2), 8);
      const Twin& bias = twin(DType::bf16, {f}, random_values(f, 3));
      const Twin &before = blank(DType::bf16, {m, f}, 8), &act = blank(DType::bf16, {m, f}, 16);
      const Twin& apart = blank(DType::bf16, {m, f});
      run_both([&](const Side& on) {
        const Tensor before_there = on(before), bias_there = on(bias);
        matmul(on.ctx, on(act), on(a), on(b),
               {.transpose_b = true, .bias = with_bias ? &bias_there : nullptr, .before_gelu = &before_there});
        gelu_forward(on.ctx, on(apart), on(before));
      });
      const double absolute = dtype_epsilon(DType::f32) * static_cast<double>(k + 8);
      expect_twins_close(before, rounding(DType::bf16, 2), absolute, "before GELU");
      // |x GELU'(x)| is below 2.4 GELU(x) for x > 0, and 0.3 for others.
      expect_twins_close(act, 3 * rounding(DType::bf16, 4), 2 * absolute + 0.3 * rounding(DType::bf16, 0), "GELU");
      if (is_fused(size)) {
        EXPECT_EQ(act.got(), apart.got());
      }
    });
}

TEST_F(CudaFusedMatmul, MultipliesWithGelusGradientAndSumsTheBiass) {
  for (const bool sums : {true, false})
    for_each_size([&](const Size& size) {
      SCOPED_TRACE(sums ? "with sums" : "without sums");
      const auto [m, f, k, tried] = size;
      const Twin& dy = twin(DType::bf16, {m, k}, whole_numbers(m * k, 1), 8);
      const Twin& weight = twin(DType::bf16, {k, f}, whole_numbers(k * f, 2), 8);
      const Twin& before = twin(DType::bf16, {m, f}, random_values(m * f, 3, 4), 16);
      const Twin &dx = blank(DType::bf16, {m, f}, 8), &apart = blank(DType::bf16, {m, f});
      const Doubles start = random_values(f, 4);
      const Twin& gradient = twin(DType::f32, {f}, start);
      run_both([&](const Side& on) {
        const Tensor before_there = on(before), gradient_there = on(gradient);
        matmul(on.ctx, on(dx), on(dy), on(weight),
               {.times_gelu_of = &before_there, .bias_gradient = sums ? &gradient_there : nullptr});
        matmul(on.ctx, on(apart), on(dy), on(weight));
        gelu_backward(on.ctx, on(apart), on(apart), on(before));
      });
      expect_twins_close(dx, 2 * rounding(DType::bf16, 4), 1e-4, "the gradient before GELU");
      const Doubles got = dx.got();
      if (is_fused(size)) {
        EXPECT_EQ(got, apart.got());
      }
      Doubles want = start, size_of_terms = start;
      if (sums)
        for (size_t i = 0; i < got.size(); ++i) {
          want[i % want.size()] += got[i];
          size_of_terms[i % want.size()] += std::abs(got[i]);
        }
      const Doubles summed = gradient.got();
      for (size_t col = 0; col < want.size(); ++col)
        ASSERT_NEAR(summed[col], want[col], 32 * dtype_epsilon(DType::f32) * std::abs(size_of_terms[col]) + 1e-6)
            << "column " << col;
    });
}

}  // namespace
}  // namespace trireme
