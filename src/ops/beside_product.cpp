#include "ops/beside_product.h"

#include "ops/cpu/activation.h"
#include "ops/cpu/basic.h"
#include "ops/cpu/matmul.h"
#include "ops/cuda/activation.h"
#include "ops/cuda/basic.h"
#include "ops/cuda/sum_rows.h"
#include "ops/dispatch.h"

namespace trireme {

const Tensor* side_of(const MatmulOptions& o) {
  for (const Tensor* side : {o.residual, o.before_gelu, o.times_gelu_of, o.swiglu, o.before_swiglu})
    if (side != nullptr) return side;
  return nullptr;
}

MatmulOptions product_alone(const MatmulOptions& options) {
  MatmulOptions alone = options;
  alone.residual = alone.before_gelu = alone.times_gelu_of = alone.bias_gradient = alone.swiglu = alone.before_swiglu =
      nullptr;
  return alone;
}

const Tensor& product_of(const Tensor& c, const MatmulOptions& o) {
  return o.before_gelu != nullptr ? *o.before_gelu : c;
}

void finish_product(Ctx& ctx, const Tensor& c, const MatmulOptions& o, const Tensor& scratch) {
  if (o.residual != nullptr) on_device(ctx, cpu::add, cuda::add, c, *o.residual, c);
  if (o.before_gelu != nullptr) on_device(ctx, cpu::gelu_forward, cuda::gelu_forward, c, *o.before_gelu);
  if (o.times_gelu_of != nullptr) on_device(ctx, cpu::gelu_backward, cuda::gelu_backward, c, c, *o.times_gelu_of);
  if (o.swiglu != nullptr) on_device(ctx, cpu::swiglu_forward, cuda::swiglu_forward, *o.swiglu, c);
  if (o.before_swiglu != nullptr)
    on_device(ctx, cpu::swiglu_backward, cuda::swiglu_backward, *o.before_swiglu, c, *o.before_swiglu, Tensor());
  if (o.bias_gradient == nullptr) return;
  if (ctx.backend != DeviceKind::cuda) return cpu::sum_rows(ctx, *o.bias_gradient, c);
  const Shape partial{cuda::sum_rows_blocks(c.size(0), c.size(1)), c.size(1)};
  cuda::sum_rows(ctx, *o.bias_gradient, {scratch.data, DType::f32, scratch.device, partial}, c);
}

}  // namespace trireme
