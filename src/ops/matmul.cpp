// Checks and cost of the matrix products.
#include "ops/matmul.h"

#include "ops/activation.h"
#include "ops/basic.h"
#include "ops/cost.h"
#include "ops/cpu/blas.h"
#include "ops/cpu/matmul.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/gated_product.h"
#include "ops/cuda/matmul.h"
#include "ops/cuda/sum_rows.h"
#include "ops/dispatch.h"

namespace trireme {

namespace {

/// The same as two ops.
void product_and_activation(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  MatmulOptions product = options;
  product.before_gelu = product.times_gelu_of = product.swiglu = product.before_swiglu = product.residual = nullptr;
  matmul(ctx, options.before_gelu != nullptr ? *options.before_gelu : c, a, b, product);
  if (options.residual != nullptr)
    add(ctx, c, *options.residual, c);
  else if (options.before_gelu != nullptr)
    gelu_forward(ctx, c, *options.before_gelu);
  else if (options.times_gelu_of != nullptr)
    gelu_backward(ctx, c, c, *options.times_gelu_of);
  else if (options.swiglu != nullptr)
    swiglu_forward(ctx, *options.swiglu, c);
  else
    swiglu_backward(ctx, *options.before_swiglu, c, *options.before_swiglu);
}

void check_float8(const char* op, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  CHECK(is_float8(b.dtype) && (a.dtype == DType::e4m3 || b.dtype == DType::e4m3), op, ": a ", a.str(), " with b ",
        b.str());
  CHECK(!options.transpose_a && options.transpose_b && a.contiguous() && b.contiguous(), op, ": a ", a.str(), " and b ",
        b.str(), " do not lie along the sum");
  CHECK(c.dtype == DType::bf16 || c.dtype == DType::f32, op, ": c ", c.str(), " of 8-bit floats");
  for (const int64_t size : {a.size(0), a.size(1), b.size(0)})
    CHECK(size % 16 == 0, op, ": a ", a.str(), ", b ", b.str(), ", expected multiples of 16");
  CHECK(options.a_scale != nullptr && options.b_scale != nullptr, op, ": 8-bit floats without scales");
  check_vector(op, "a's scale", *options.a_scale, 1, DType::f32);
  check_vector(op, "b's scale", *options.b_scale, 1, DType::f32);
}

}  // namespace

void matmul(Ctx& ctx, Tensor c, const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  const char* op = "matmul";
  CHECK(a.rank() == 2 && b.rank() == 2 && c.rank() == 2, op, ": c ", c.str(), ", a ", a.str(), ", b ", b.str());
  const int64_t m = c.size(0), n = c.size(1), k = a.size(options.transpose_a ? 0 : 1);
  check_shape(op, "a", a, options.transpose_a ? Shape{k, m} : Shape{m, k});
  check_shape(op, "b", b, options.transpose_b ? Shape{n, k} : Shape{k, n});
  check_rows(op, "c", c);
  const bool float8 = is_float8(a.dtype);
  if (float8) {
    check_float8(op, c, a, b, options);
  } else {
    check_rows(op, "a", a);
    check_rows(op, "b", b);
  }
  if (options.bias != nullptr) {
    CHECK(!options.accumulate, op, ": bias together with accumulate");
    check_shape(op, "bias", *options.bias, {n});
    check_rows(op, "bias", *options.bias);
  }
  if (options.before_gelu != nullptr || options.times_gelu_of != nullptr) {
    CHECK(!options.accumulate && (options.before_gelu == nullptr || options.times_gelu_of == nullptr), op,
          ": GELU twice, or together with accumulate");
    const Tensor& other = options.before_gelu != nullptr ? *options.before_gelu : *options.times_gelu_of;
    check_shape(op, "the side of GELU", other, c.shape);
    check_rows(op, "the side of GELU", other);
    check_dtype(op, "the side of GELU", other, c.dtype);
    if (ctx.backend != DeviceKind::cuda || float8) return product_and_activation(ctx, c, a, b, options);
  }
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  if (options.residual != nullptr) {
    CHECK(options.bias == nullptr && !options.accumulate && options.before_gelu == nullptr &&
              options.times_gelu_of == nullptr && options.swiglu == nullptr && options.before_swiglu == nullptr,
          op, ": a residual together with something else");
    check_shape(op, "the residual", *options.residual, c.shape);
    check_rows(op, "the residual", *options.residual);
    check_dtype(op, "the residual", *options.residual, c.dtype);
    if (!on_gpu || float8) return product_and_activation(ctx, c, a, b, options);
  }
  if (options.swiglu != nullptr) {
    CHECK(!options.accumulate && options.before_gelu == nullptr && options.times_gelu_of == nullptr, op,
          ": SwiGLU together with GELU or accumulate");
    check_shape(op, "SwiGLU", *options.swiglu, {m, n / 2});
    check_rows(op, "SwiGLU", *options.swiglu);
    check_dtype(op, "SwiGLU", *options.swiglu, c.dtype);
    CHECK(n % 2 == 0, op, ": SwiGLU of ", n, " columns");
    const bool fused = on_gpu && (cuda::has_few_rows(a) || cuda::fits_gated(c, a, b, options));
    if (!fused) return product_and_activation(ctx, c, a, b, options);
  }
  if (options.before_swiglu != nullptr) {
    CHECK(!options.accumulate && options.bias == nullptr && options.before_gelu == nullptr &&
              options.times_gelu_of == nullptr && options.swiglu == nullptr,
          op, ": SwiGLU's backward together with something else");
    check_shape(op, "gate and up", *options.before_swiglu, {m, 2 * n});
    check_rows(op, "gate and up", *options.before_swiglu);
    check_dtype(op, "gate and up", *options.before_swiglu, c.dtype);
    if (!on_gpu || !cuda::fits_gated(c, a, b, options)) return product_and_activation(ctx, c, a, b, options);
  }
  const ArenaScope scope(*ctx.temp);
  cpu::MatmulPlan plan;
  if (!on_gpu) plan = cpu::plan_matmul(c, a, b, options, ctx.pool == nullptr ? 1 : ctx.pool->size());
  const Tensor scratch =
      on_gpu ? ctx.temp->take(DType::u8, {cuda::kMatmulWorkspace}) : ctx.temp->take(DType::f32, {plan.scratch_floats});
  const double bytes =
      options.before_swiglu != nullptr
          ? bytes_of(a, b, *options.before_swiglu, *options.before_swiglu)
          : bytes_of(c, a, b) + (options.accumulate || options.residual != nullptr ? bytes_of(c) : 0.0);
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (!begin_op(ctx, op, {.flops = flops, .bytes = bytes, .matmul = true})) return;
  if (m == 0 || n == 0) return;
  if (on_gpu)
    cuda::matmul(ctx, c, a, b, options, scratch);
  else
    cpu::matmul(ctx, plan, c, a, b, options, scratch.f32());
  end_op(ctx, op, c);
}

void sum_rows(Ctx& ctx, Tensor out, const Tensor& x) {
  const char* op = "sum_rows";
  CHECK(x.rank() == 2, op, ": x ", x.str());
  check_rows(op, "x", x);
  check_vector(op, "out", out, x.size(1), DType::f32);
  const ArenaScope scope(*ctx.temp);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  Tensor partial;
  if (on_gpu) partial = ctx.temp->take(DType::f32, {cuda::sum_rows_blocks(x.size(0), x.size(1)), x.size(1)});
  if (!begin_op(ctx, op, {.flops = static_cast<double>(x.numel()), .bytes = bytes_of(x, out, out)})) return;
  if (on_gpu)
    cuda::sum_rows(ctx, out, partial, x);
  else
    cpu::sum_rows(ctx, out, x);
  end_op(ctx, op, out);
}

std::string matmul_library(DeviceKind backend) {
  return backend == DeviceKind::cuda ? cuda::blas_name() : cpu::blas_name();
}

}  // namespace trireme
