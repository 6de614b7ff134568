#include "ops/cuda/gated_product.h"

#include "ops/cuda/gated_ends.cuh"

namespace trireme::cuda {

bool fits_gated(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool forward = o.swiglu != nullptr && o.transpose_b, backward = o.before_swiglu != nullptr && !o.transpose_b;
  if (!forward && !backward) return false;
  if (o.transpose_a || o.accumulate || o.bias != nullptr || o.alpha != 1) return false;
  for (const Tensor* t : {&c, &a, &b, forward ? o.swiglu : o.before_swiglu})
    if (!has_boxes(*t)) return false;
  return forward ? c.size(1) / 2 % GatedForward::kCols == 0 : c.size(1) % GatedBackward::kCols == 0;
}

bool has_gated(const CudaContext& context) {
  return has_tile_product<GatedForward>(context) && has_tile_product<GatedBackward>(context);
}

void gated_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const char* op = "gated_matmul";
  if (o.swiglu != nullptr) {
    const int64_t up = c.size(1) / 2;
    launch_tiles<GatedForward>(ctx, op, a, b, up, {map_of(c, 64), map_of(*o.swiglu, 64), narrow<int>(up)});
  } else {
    launch_tiles<GatedBackward>(ctx, op, a, b, c.size(1), {map_of(*o.before_swiglu, 64), narrow<int>(c.size(1))});
  }
}

}  // namespace trireme::cuda
