#include "ops/cuda/fused_product.h"

#include "ops/beside_product.h"
#include "ops/cuda/gated_ends.cuh"
#include "ops/cuda/gelu_ends.cuh"
#include "ops/cuda/sum_rows.h"

namespace trireme::cuda {
namespace {

/// (64 rows each, columns) of partial sums; both blocks of a cluster leave two rows of them, be it of nothing.
Tensor partial_sums(const Tensor& c, const Tensor& workspace) {
  return {workspace.data, DType::f32, workspace.device, {4 * ceil_div(c.size(0), int64_t{256}), c.size(1)}};
}

}  // namespace

bool fits_fused(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o, const Tensor& workspace) {
  const Tensor* side = side_of(o);
  const bool forward = o.before_gelu != nullptr || o.swiglu != nullptr;
  if (side == nullptr || side == o.residual || o.transpose_b != forward || o.transpose_a || o.accumulate ||
      o.alpha != 1)
    return false;
  for (const Tensor* t : {&c, &a, &b, side})
    if (!has_boxes(*t)) return false;
  if (o.bias != nullptr && (o.before_gelu == nullptr || o.bias->dtype != DType::bf16 ||
                            reinterpret_cast<uintptr_t>(o.bias->data) % sizeof(uint32_t) != 0))
    return false;
  if (o.bias_gradient != nullptr && partial_sums(c, workspace).bytes() > workspace.bytes()) return false;
  const int64_t cols = o.swiglu != nullptr ? c.size(1) / 2 : c.size(1);
  return a.size(1) > 0 && cols % 8 == 0;  // up begins where boxes can
}

bool has_fused(const CudaContext& context) {
  return has_tile_product<GatedForward>(context) && has_tile_product<GatedBackward>(context) &&
         has_tile_product<GeluForward>(context) && has_tile_product<GeluBackward>(context);
}

void fused_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o,
                  const Tensor& workspace) {
  const char* op = "fused_matmul";
  const int64_t n = c.size(1);
  if (o.before_gelu != nullptr) {
    const uint32_t* bias = o.bias == nullptr ? nullptr : o.bias->as<uint32_t>();
    launch_tiles<GeluForward>(ctx, op, a, {b, b}, n, {map_of(*o.before_gelu, 64), map_of(c, 64), bias, narrow<int>(n)});
    return;
  }
  if (o.times_gelu_of != nullptr) {
    const Tensor sums = partial_sums(c, workspace);
    float* const to = o.bias_gradient == nullptr ? nullptr : sums.f32();
    launch_tiles<GeluBackward>(ctx, op, a, {b, b}, n,
                               {map_of(*o.times_gelu_of, 64), map_of(c, 64), to, narrow<int>(n)});
    if (o.bias_gradient != nullptr) add_rows(ctx, {{*o.bias_gradient, sums}});
    return;
  }
  const Tensor& both = o.swiglu != nullptr ? c : *o.before_swiglu;
  const int64_t f = both.size(1) / 2;
  const Tensor gate = both.slice(1, 0, f), up = both.slice(1, f, 2 * f);
  if (o.swiglu != nullptr)
    launch_tiles<GatedForward>(ctx, op, a, {b.slice(0, 0, f), b.slice(0, f, 2 * f)}, f,
                               {map_of(gate, 64, 32), map_of(up, 64, 32), map_of(*o.swiglu, 64, 32)});
  else
    launch_tiles<GatedBackward>(ctx, op, a, {b, b}, f, {map_of(gate, 64), map_of(up, 64)});
}

}  // namespace trireme::cuda
