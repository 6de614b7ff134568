#include "ops/cuda/gated_product.h"

#include "ops/cuda/gated_ends.cuh"

namespace trireme::cuda {

bool fits_gated(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool forward = o.swiglu != nullptr && o.transpose_b, backward = o.before_swiglu != nullptr && !o.transpose_b;
  if (!forward && !backward) return false;
  if (o.transpose_a || o.accumulate || o.bias != nullptr || o.alpha != 1) return false;
  if ((forward ? c.size(1) / 2 : c.size(1)) % 8 != 0) return false;  // up begins where boxes can
  for (const Tensor* t : {&c, &a, &b, forward ? o.swiglu : o.before_swiglu})
    if (!has_boxes(*t)) return false;
  return true;
}

bool has_gated(const CudaContext& context) {
  return has_tile_product<GatedForward>(context) && has_tile_product<GatedBackward>(context);
}

void gated_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const char* op = "gated_matmul";
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
