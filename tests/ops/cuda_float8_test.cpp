// 8-bit floats on the GPU: the CPU's codes to the bit, and products near the CPU's.
#include "ops/cuda_op_test.h"
#include "ops/float8.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

using namespace trireme::testing;

class CudaFloat8 : public CudaTest {};

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
        run_both([&](const Side& on) {
          quantize(on.ctx, {wanted & 1 ? on(rows) : Tensor(), wanted & 2 ? on(cols) : Tensor(), on(scale)}, on(x));
        });
        for (const Twin* t : {&rows, &cols, &scale}) EXPECT_TRUE(t->same_bits());
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
