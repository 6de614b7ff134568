// 8-bit floats on the GPU: the CPU's codes to the bit, and products near the CPU's.
#include "ops/activation.h"
#include "ops/cuda_op_test.h"
#include "ops/float8.h"
#include "ops/matmul.h"
#include "ops/norm.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaFloat8 : public CudaTest {};

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST_F(CudaFloat8, QuantizesAsTheCpuToTheBit) {
  for (const DType dtype : {DType::e4m3, DType::e5m2})
    for (const Shape& shape : {Shape{16, 16}, Shape{48, 160}, Shape{272, 80}, Shape{4096, 1040}})
      for (const int wanted : {1, 2, 3}) {
        SCOPED_TRACE(cat(dtype_name(dtype), " ", shape.str(), " wanted ", wanted));
        const int64_t n = shape.numel();
        const Twin& x = same_type_twin(DType::bf16, shape, random_values(n, 1, 7));
        const Doubles zeros(static_cast<size_t>(n), 0.0);
        const Twin& rows = same_type_twin(dtype, shape, zeros);
        const Twin& cols = same_type_twin(dtype, {shape[1], shape[0]}, zeros);
        const Twin& scale = same_type_twin(DType::f32, {1}, {0.0});
        const Twin& largest = same_type_twin(DType::f32, {1}, {1e30});
        const auto codes = [&](const Side& on) {
          return Float8{wanted & 1 ? on(rows) : Tensor(), wanted & 2 ? on(cols) : Tensor(), on(scale)};
        };
        run_both([&](const Side& on) { quantize(on.ctx, codes(on), on(x)); });
        for (const Twin* t : {&rows, &cols, &scale}) EXPECT_TRUE(t->same_bits());
        run_both([&](const Side& on) {
          measure(on.ctx, {on(x), on(largest)});
          quantize(on.ctx, codes(on), {on(x), on(largest)});
        });
        for (const Twin* t : {&rows, &cols, &scale}) EXPECT_TRUE(t->same_bits());
        forget();
      }
}

/// NaN where one is among them.
double largest_of(const Doubles& values) {
  double largest = 0;
  for (const double v : values) largest = std::isnan(v) || std::abs(v) > largest ? std::abs(v) : largest;
  return std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); }) ? NAN : largest;
}

/// Random values with `peak` at one place.
Doubles peaked(int64_t n, uint64_t seed, int64_t at, double peak) {
  Doubles values = random_values(n, seed);
  values[static_cast<size_t>(at % n)] = peak;
  return values;
}

TEST_F(CudaFloat8, OpsMeasureWhatTheyWrite) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 40}, Shape{16, 768}, Shape{33, 1040}, Shape{7, 2048},
                             Shape{9, 4096}, Shape{272, 80}, Shape{3, 16392}})
    for (const int64_t pad : {0, 3})
      for (const double peak : {0.0, 1000.0, -300.0, HUGE_VAL, static_cast<double>(NAN)}) {
        SCOPED_TRACE(cat(shape.str(), " pad ", pad, " peak ", peak));
        const int64_t n = shape.numel(), c = shape[1], at = 1 + n * 5 / 7;
        const Twin& x = same_type_twin(DType::bf16, shape, peaked(n, 1, at, peak), pad);
        const Twin& dy = same_type_twin(DType::bf16, shape, peaked(n, 2, n - 1, peak), pad);
        const Twin& gate_up = same_type_twin(DType::bf16, {shape[0], 2 * c}, peaked(2 * n, 3, 2 * at, peak), pad);
        const Twin& weight = same_type_twin(DType::bf16, {c}, peaked(c, 4, c / 2, peak));
        const Twin& bias = same_type_twin(DType::bf16, {c}, random_values(c, 5));
        const auto blanks = [&](DType dtype, const Shape& of) -> const Twin& {
          return same_type_twin(dtype, of, Doubles(static_cast<size_t>(of.numel()), 1e30));
        };
        std::vector<const Twin*> written, found;
        for (int i = 0; i < 7; ++i) {
          written.push_back(&blanks(DType::bf16, i == 6 ? Shape{shape[0], 2 * c} : shape));
          found.push_back(&blanks(DType::f32, {1}));
        }
        const Twin &sum = blanks(DType::bf16, shape), &mean = blanks(DType::f32, {shape[0]}),
                   &rstd = blanks(DType::f32, {shape[0]});
        run_both([&](const Side& on) {
          const auto out = [&](size_t i) { return Measured(on(*written[i]), on(*found[i])); };
          gelu_forward(on.ctx, out(0), on(x));
          gelu_backward(on.ctx, out(1), on(dy), on(x));
          swiglu_forward(on.ctx, out(2), on(gate_up));
          rms_norm_forward(on.ctx, out(3), {}, on(rstd), on(x), {}, on(weight), 1e-5F);
          rms_norm_forward(on.ctx, out(4), on(sum), on(rstd), on(x), on(dy), on(weight), 1e-5F);
          layer_norm_forward(on.ctx, out(5), on(sum), on(mean), on(rstd), on(x), on(dy), on(weight), on(bias), 1e-5F);
          swiglu_backward(on.ctx, out(6), on(dy), on(gate_up));
        });
        for (size_t i = 0; i < written.size(); ++i) {
          EXPECT_TRUE(same(found[i]->got()[0], largest_of(written[i]->got()))) << "output " << i;
          EXPECT_TRUE(same(found[i]->want()[0], largest_of(written[i]->want()))) << "output " << i << " on the CPU";
        }
        forget();
      }
}

TEST_F(CudaFloat8, MeasuresAnySizeWhereverTheLargestLies) {
  for (const int64_t n : {1, 7, 8, 9, 263, 8192, 8193, 100003, 4000000})
    for (const int64_t at : {int64_t{0}, n / 3, n - 1}) {
      SCOPED_TRACE(cat(n, " values, at ", at));
      const Twin& x = same_type_twin(DType::bf16, {n}, peaked(n, 1, at, at % 2 == 0 ? -7 : 7));
      const Twin& largest = same_type_twin(DType::f32, {1}, {1e30});
      run_both([&](const Side& on) { measure(on.ctx, {on(x), on(largest)}); });
      EXPECT_EQ(largest.got()[0], 7);
      EXPECT_EQ(largest.want()[0], 7);
      forget();
    }
}

TEST_F(CudaFloat8, SumsOfRowsMeasureAlong) {
  for (const Shape& shape : {Shape{1, 1}, Shape{9, 37}, Shape{65, 2304}, Shape{5000, 40}, Shape{301, 304}})
    for (int64_t row = 0; row < std::min<int64_t>(shape[0], 10); ++row) {  // of every warp, and the last
      const int64_t n = shape.numel(), cols = shape[1];
      const int64_t at = (row < 9 ? row : shape[0] - 1) * cols + row * 29 % cols;
      const double peak = row == 2 ? static_cast<double>(NAN) : -7;
      SCOPED_TRACE(cat(shape.str(), " peak ", peak, " at ", at));
      const Twin& x = same_type_twin(DType::bf16, shape, peaked(n, 1, at, peak));
      const Twin& sums = same_type_twin(DType::f32, {cols}, random_values(cols, 2));
      const Twin& bare = same_type_twin(DType::f32, {cols}, random_values(cols, 2));
      const Twin& largest = same_type_twin(DType::f32, {1}, {1e30});
      run_both([&](const Side& on) {
        sum_rows(on.ctx, on(sums), on(x), on(largest));
        sum_rows(on.ctx, on(bare), on(x));
      });
      EXPECT_TRUE(same(largest.got()[0], std::abs(peak)) && same(largest.want()[0], std::abs(peak)));
      const Doubles with = sums.got(), without = bare.got();
      for (size_t c = 0; c < with.size(); ++c) ASSERT_TRUE(same(with[c], without[c])) << c;
      forget();
    }
}

TEST_F(CudaFloat8, MultipliesAsTheCpu) {
  struct Case {
    DType a, to;
    bool accumulate, bias;
    int64_t m, n, k;
  };
  for (const Case& x : {Case{DType::e4m3, DType::bf16, false, true, 256, 384, 512},
                        Case{DType::e4m3, DType::bf16, false, false, 2048, 1536, 1024},
                        Case{DType::e5m2, DType::bf16, false, false, 256, 80, 176},
                        Case{DType::e5m2, DType::f32, true, false, 144, 256, 4096},
                        Case{DType::e5m2, DType::f32, true, false, 1024, 1024, 2048}}) {
    SCOPED_TRACE(cat(dtype_name(x.a), " ", x.m, " x ", x.n, " x ", x.k));
    const Twin& a = same_type_twin(x.a, {x.m, x.k}, random_values(x.m * x.k, 1, 100));
    const Twin& b = same_type_twin(DType::e4m3, {x.n, x.k}, random_values(x.n * x.k, 2, 100));
    const Twin& a_scale = same_type_twin(DType::f32, {1}, {0.01});
    const Twin& b_scale = same_type_twin(DType::f32, {1}, {0.02});
    const Twin& bias = twin(DType::bf16, {x.n}, random_values(x.n, 4));
    const Twin& c = twin(x.to, {x.m, x.n}, random_values(x.m * x.n, 3));
    run_both([&](const Side& on) {
      const Tensor of_a = on(a_scale), of_b = on(b_scale), added = on(bias);
      matmul(on.ctx, on(c), on(a), on(b),
             {.transpose_b = true,
              .accumulate = x.accumulate,
              .bias = x.bias ? &added : nullptr,
              .a_scale = &of_a,
              .b_scale = &of_b});
    });
    // The GPU adds within a sum with about 14 bits: terms are below 2, sums about the root of k.
    expect_twins_close(c, rounding(x.to, 2), 0.01 * std::sqrt(static_cast<double>(x.k)), "c");
    forget();
  }
}

}  // namespace
}  // namespace trireme
