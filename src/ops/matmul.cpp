// Checks and cost of the matrix products.
#include "ops/matmul.h"

#include "ops/beside_product.h"
#include "ops/cost.h"
#include "ops/cpu/blas.h"
#include "ops/cpu/float8.h"
#include "ops/cpu/matmul.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/matmul.h"
#include "ops/cuda/sum_rows.h"
#include "ops/dispatch.h"
#include "ops/norm.h"

namespace trireme {

namespace {

void check_beside(const char* op, const Tensor& c, const Tensor& side, const MatmulOptions& o) {
  const int count = (o.residual != nullptr) + (o.before_gelu != nullptr) + (o.times_gelu_of != nullptr) +
                    (o.swiglu != nullptr) + (o.before_swiglu != nullptr);
  CHECK(count == 1 && !o.accumulate, op, ": ", count, " things beside it", o.accumulate ? ", and accumulate" : "");
  CHECK(o.bias == nullptr || o.before_swiglu == nullptr, op, ": SwiGLU's backward together with a bias");
  CHECK(o.swiglu == nullptr || c.size(1) % 2 == 0, op, ": SwiGLU of ", c.size(1), " columns");
  const int64_t n = o.swiglu != nullptr ? c.size(1) / 2 : o.before_swiglu != nullptr ? 2 * c.size(1) : c.size(1);
  check_shape(op, "what is beside the product", side, {c.size(0), n});
  check_rows(op, "what is beside the product", side);
  check_dtype(op, "what is beside the product", side, c.dtype);
}

/// In one pass, with what is beside the product.
double bytes_moved(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  if (o.before_swiglu != nullptr) return bytes_of(a, b, *o.before_swiglu, *o.before_swiglu);
  const Tensor* side = side_of(o);
  return bytes_of(c, a, b) + (o.accumulate ? bytes_of(c) : 0.0) + (side != nullptr ? bytes_of(*side) : 0.0);
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

void check_norm(const char* op, const Tensor& a, const MatmulOptions& o) {
  CHECK(!o.transpose_a && !is_float8(a.dtype), op, ": a norm of a ", a.str());
  for (const Tensor* t : {&o.norm->weight, &o.norm->bias}) {
    if (!t->defined() && t == &o.norm->bias) continue;
    check_shape(op, "the norm's weight or bias", *t, {a.size(1)});
    check_rows(op, "the norm's weight or bias", *t);
  }
}

/// One after the other.
void norm_then_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options) {
  const auto& [weight, bias, eps] = *options.norm;
  const ArenaScope scope(*ctx.temp);
  const Tensor y = ctx.temp->take(a.dtype, a.shape), rstd = ctx.temp->take(DType::f32, {a.size(0)});
  if (bias.defined())
    layer_norm_forward(ctx, y, {}, ctx.temp->take(DType::f32, {a.size(0)}), rstd, a, {}, weight, bias, eps);
  else
    rms_norm_forward(ctx, y, {}, rstd, a, {}, weight, eps);
  MatmulOptions product = options;
  product.norm = nullptr;
  matmul(ctx, c, y, b, product);
}

}  // namespace

bool takes_norms_along(const Ctx& ctx, int64_t rows) {
  return ctx.backend == DeviceKind::cuda && !ctx.train && rows <= cuda::kNormedRows;
}

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
  const Tensor* side = side_of(options);
  if (side != nullptr) check_beside(op, c, *side, options);
  if (options.bias_gradient != nullptr) {
    CHECK(options.times_gelu_of != nullptr, op, ": a bias's gradient without times_gelu_of");
    check_vector(op, "the bias's gradient", *options.bias_gradient, n, DType::f32);
  }
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  if (options.norm != nullptr) {
    check_norm(op, a, options);
    // A plan takes scratch for both: it does not know how operands will lie.
    const bool along = !ctx.planning() && takes_norms_along(ctx, m) && cuda::takes_few_rows(c, a, b, options);
    if (!along) return norm_then_matmul(ctx, c, a, b, options);
  }
  const MatmulOptions alone = product_alone(options);
  const Tensor& product = product_of(c, options);
  const ArenaScope scope(*ctx.temp);
  cpu::MatmulPlan plan;
  if (!on_gpu) plan = cpu::plan_matmul(product, a, b, alone, ctx.pool == nullptr ? 1 : ctx.pool->size());
  const Tensor scratch =
      on_gpu ? ctx.temp->take(DType::u8, {cuda::kMatmulWorkspace}) : ctx.temp->take(DType::f32, {plan.scratch_floats});
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (!begin_op(ctx, op, {.flops = flops, .bytes = bytes_moved(c, a, b, options), .matmul = true})) return;
  if (m == 0 || n == 0) return;
  if (on_gpu) {
    cuda::matmul(ctx, c, a, b, options, scratch);
  } else {
    cpu::matmul(ctx, plan, product, a, b, alone, scratch.f32());
    finish_product(ctx, c, options, scratch);
  }
  end_op(ctx, op, options.before_swiglu != nullptr ? *side : c);
}

void sum_rows(Ctx& ctx, Tensor out, const Tensor& x, const Tensor& largest) {
  const char* op = "sum_rows";
  CHECK(x.rank() == 2, op, ": x ", x.str());
  check_rows(op, "x", x);
  check_vector(op, "out", out, x.size(1), DType::f32);
  check_measured(op, {x, largest});
  const ArenaScope scope(*ctx.temp);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  Tensor partial;
  if (on_gpu) partial = ctx.temp->take(DType::f32, {cuda::sum_rows_blocks(x.size(0), x.size(1)), x.size(1)});
  if (!begin_op(ctx, op, {.flops = static_cast<double>(x.numel()), .bytes = bytes_of(x, out, out)})) return;
  if (on_gpu) {
    cuda::sum_rows(ctx, out, partial, x, largest);
  } else {
    cpu::sum_rows(ctx, out, x);
    if (largest.defined()) cpu::find_largest(ctx, largest, x);
  }
  end_op(ctx, op, out);
}

void set_tf32(CudaContext* cuda, bool on) {
  if (cuda != nullptr) cuda::set_tf32(*cuda, on);
}

std::string matmul_library(DeviceKind backend) {
  return backend == DeviceKind::cuda ? cuda::blas_name() : cpu::blas_name();
}

}  // namespace trireme
