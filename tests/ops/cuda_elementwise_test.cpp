// Activations, elementwise helpers and dropout on the GPU against the CPU.
#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cuda_op_test.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaElementwise : public CudaTypes {};
INSTANTIATE_TEST_SUITE_P(Storage, CudaElementwise, storage_types(), dtype_test_name);

/// Packs of 4 and 8 elements, with and without a rest, one row and many.
const Shape kShapes[] = {{1, 1}, {1, 8}, {3, 37}, {5, 1100}, {33, 768}, {2, 4104}, {700, 24}};
constexpr int64_t kPads[] = {0, 3, 8};

/// Both sides compute in f32 with some `operations` roundings each.
double relative(DType dtype, double operations) { return rounding(dtype, 2 * operations); }
/// The least step of f16.
double absolute(DType dtype) { return dtype == DType::f16 ? 0x1p-24 : 1e-9; }

TEST_P(CudaElementwise, HelpersMatchTheCpuBitForBitInF32) {
  for (const Shape& shape : {Shape{1237}, Shape{8}, Shape{5}, Shape{7, 600}, Shape{3, 4, 25}, Shape{3, 4, 32}}) {
    for (const int64_t pad : kPads) {
      const int64_t n = shape.numel();
      Twin& a = same_type_twin(dtype(), shape, random_values(n, 1), pad);
      Twin& b = same_type_twin(dtype(), shape, random_values(n, 2), pad);
      Twin& sum = same_type_twin(dtype(), shape, random_values(n, 3), pad);
      Twin& filled = same_type_twin(dtype(), shape, random_values(n, 3), pad);
      Twin& scaled = same_type_twin(dtype(), shape, random_values(n, 4), pad);
      run_both([&](const Side& on) {
        add(on.ctx, on(sum), on(a), on(b));
        fill(on.ctx, on(filled), 0.3F);
        scale(on.ctx, on(scaled), 0.7F);
        add(on.ctx, on(b), on(a), on(b));
      });
      EXPECT_TRUE(sum.same_bits() && filled.same_bits() && scaled.same_bits() && b.same_bits()) << shape.str();
      forget();
    }
  }
}

TEST_P(CudaElementwise, CopiesConvertBetweenAllTypesAsTheCpuDoes) {
  for (const DType from : {DType::f32, DType::bf16, DType::f16}) {
    for (const Shape& shape : {Shape{1237}, Shape{9, 40}, Shape{9, 41}, Shape{3, 5, 64}}) {
      for (const int64_t pad : kPads) {
        Doubles values = random_values(shape.numel(), 1, 300);
        values[0] = 65520;  // beyond f16
        values[1] = 1e-7;   // subnormal in f16
        values[2] = -HUGE_VAL;
        Twin& x = same_type_twin(from, shape, values, pad);
        Twin& y = same_type_twin(dtype(), shape, random_values(shape.numel(), 2), pad);
        run_both([&](const Side& on) { copy(on.ctx, on(y), on(x)); });
        EXPECT_TRUE(y.same_bits()) << dtype_name(from) << shape.str() << pad;
        forget();
      }
    }
  }
}

TEST_P(CudaElementwise, MixedTypesAndUnalignedSlicesAdd) {
  Twin& a = twin(DType::f32, {6, 70}, random_values(420, 1));
  Twin& b = twin(dtype(), {6, 70}, random_values(420, 2));
  Twin& y = blank(dtype(), {6, 70});
  run_both([&](const Side& on) {
    fill(on.ctx, on(y), 0);
    add(on.ctx, on(y).slice(1, 3, 69), on(a).slice(1, 1, 67), on(b).slice(1, 4, 70));
  });
  expect_twins_close(y, relative(dtype(), 1), absolute(dtype()), "y");
}

TEST_P(CudaElementwise, GeluMatchesTheCpu) {
  for (const Shape& shape : kShapes) {
    for (const int64_t pad : kPads) {
      const int64_t n = shape.numel();
      Twin& x = twin(dtype(), shape, random_values(n, 1, 9), pad);
      Twin& dy = twin(dtype(), shape, random_values(n, 2), pad);
      Twin &y = blank(dtype(), shape, pad), &dx = blank(dtype(), shape, pad);
      run_both([&](const Side& on) {
        gelu_forward(on.ctx, on(y), on(x));
        gelu_backward(on.ctx, on(dx), on(dy), on(x));
        gelu_backward(on.ctx, on(dy), on(dy), on(x));
      });
      // e^-z with z up to 2 sqrt(2/pi) (9 + 0.045 * 729): its relative error grows with z.
      expect_twins_close(y, relative(dtype(), 80), absolute(dtype()), "y");
      expect_twins_close(dx, relative(dtype(), 80), 0x1p-21 + absolute(dtype()), "dx");
      expect_twins_close(dy, relative(dtype(), 80), 0x1p-21 + absolute(dtype()), "dx in place");
      forget();
    }
  }
}

TEST_P(CudaElementwise, ActivationsStandLargeValuesAndCarryNan) {
  const Doubles values = {-60000, -100, -20, -0.0, 0.0, 20, 100, 60000, -HUGE_VAL, HUGE_VAL, NAN, 1};
  Twin& x = twin(dtype(), {1, 12}, values);
  Twin& dy = twin(dtype(), {1, 12}, Doubles(12, 1.0));
  Twin &y = blank(dtype(), {1, 12}), &dx = blank(dtype(), {1, 12});
  run_both([&](const Side& on) {
    gelu_forward(on.ctx, on(y), on(x));
    gelu_backward(on.ctx, on(dx), on(dy), on(x));
  });
  expect_twins_close(y, relative(dtype(), 80), absolute(dtype()), "y");
  expect_twins_close(dx, relative(dtype(), 80), 0x1p-21, "dx");
  EXPECT_TRUE(std::isnan(y.got()[10]) && std::isnan(dx.got()[10]));
  EXPECT_EQ(y.got()[7], y.want()[7]);
}

TEST_P(CudaElementwise, SwigluMatchesTheCpu) {
  for (const Shape& shape : kShapes) {
    for (const int64_t pad : kPads) {
      const int64_t n = shape.numel();
      const Shape both{shape[0], 2 * shape[1]};
      Twin& gate_up = twin(dtype(), both, random_values(2 * n, 1, 6), pad);
      Twin& dy = twin(dtype(), shape, random_values(n, 2), pad);
      Twin &y = blank(dtype(), shape, pad), &dgate_up = blank(dtype(), both, pad);
      Twin &again = twin(dtype(), shape, random_values(n, 2), pad), &dgate_up_too = blank(dtype(), both, pad);
      run_both([&](const Side& on) {
        swiglu_forward(on.ctx, on(y), on(gate_up));
        swiglu_backward(on.ctx, on(dgate_up), on(dy), on(gate_up));
        swiglu_backward(on.ctx, on(dgate_up_too), on(again), on(gate_up), on(again));
        swiglu_backward(on.ctx, on(gate_up), on(dy), on(gate_up));
      });
      expect_twins_close(y, relative(dtype(), 12), absolute(dtype()), "y");
      expect_twins_close(dgate_up, relative(dtype(), 24), 0x1p-20 + absolute(dtype()), "dgate_up");
      expect_twins_close(gate_up, relative(dtype(), 24), 0x1p-20 + absolute(dtype()), "dgate_up in place");
      EXPECT_EQ(again.got(), y.got()) << "what comes again with its gradient, in that's place";
      EXPECT_EQ(dgate_up_too.got(), dgate_up.got());
      forget();
    }
  }
}

TEST_P(CudaElementwise, DropoutDrawsTheCpusMaskBitForBit) {
  set_up_both([](Ctx& ctx) {
    ctx.seed = 17;
    ctx.step = 3;
    ctx.train = true;
  });
  const int64_t n = 6;
  Doubles samples, positions;
  for (int64_t i = 0; i < n; ++i) {
    samples.push_back(static_cast<double>(5'000'000'000 + i / 3));
    positions.push_back(static_cast<double>(i % 3));
  }
  for (const int64_t c : {1, 37, 1024, 1030}) {
    for (const int64_t channel_begin : {int64_t{0}, int64_t{7}, int64_t{8}, (int64_t{1} << 34) - 500}) {
      for (const int64_t pad : kPads) {
        Twin& ids = twin(DType::i64, {n}, samples);
        Twin& at = twin(DType::i32, {n}, positions);
        Twin& x = same_type_twin(dtype(), {n, c}, random_values(n * c, 1), pad);
        Twin& y = same_type_twin(dtype(), {n, c}, random_values(n * c, 2), pad);
        run_both([&](const Side& on) {
          Batch batch;
          batch.sample_ids = on(ids);
          batch.positions = on(at);
          dropout(on.ctx, on(y), on(x), 0.3F, 5, batch, channel_begin);
          dropout(on.ctx, on(x), on(x), 0.9F, 6, batch, channel_begin);
        });
        EXPECT_TRUE(y.same_bits() && x.same_bits()) << c << " channels from " << channel_begin << ", pad " << pad;
        forget();
      }
    }
  }
}

TEST_P(CudaElementwise, AnEmptyTensorIsNoWork) {
  Twin& x = twin(dtype(), {0, 8}, {});
  run_both([&](const Side& on) {
    fill(on.ctx, on(x), 1);
    gelu_forward(on.ctx, on(x), on(x));
  });
}

}  // namespace
}  // namespace trireme
