#include "ops/cuda/gated_product.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/cuda/gated_product.cuh"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

constexpr int64_t kBandBytes = int64_t{12} << 20;  // of the left operand that stay in L2: a quarter of an H200's

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

/// The driver's call, asked for by name, so that nothing is linked.
EncodeTiled find_encode_tiled() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result),
             "cudaGetDriverEntryPointByVersion");
  if (found == nullptr) throw DeviceError("the driver has no cuTensorMapEncodeTiled; a newer one has");
  return reinterpret_cast<EncodeTiled>(found);
}

/// Boxes of (rows, 64) of a bf16 matrix, swizzled.
CUtensorMap map_of(EncodeTiled encode, const Tensor& t, int rows) {
  const cuuint64_t size[2] = {static_cast<cuuint64_t>(t.size(1)), static_cast<cuuint64_t>(t.size(0))};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(t.stride(0) * dtype_size(t.dtype))};
  const cuuint32_t box[2] = {64, static_cast<cuuint32_t>(rows)}, step[2] = {1, 1};
  CUtensorMap map;
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, t.data, size, pitch, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) throw DeviceError(cat("cuTensorMapEncodeTiled of ", t.str(), ": error ", int{status}));
  return map;
}

/// What boxes are fetched from: bf16, rows that begin at multiples of 16 bytes.
bool has_boxes(const Tensor& t) {
  return t.dtype == DType::bf16 && t.size(0) > 0 && reinterpret_cast<uintptr_t>(t.data) % 16 == 0 &&
         t.stride(0) % 8 == 0 && t.size(0) < INT32_MAX && t.size(1) < INT32_MAX;
}

template <bool kBackward>
void launch(const Ctx& ctx, const GatedMaps& maps, int64_t rows, int64_t cols, int64_t terms) {
  using Shape = GatedShape<kBackward>;
  const int64_t band = std::clamp<int64_t>(kBandBytes / (128 * terms * 2), 8, 64);
  const GatedTiles tiles{narrow<int>(ceil_div(rows, int64_t{128})), narrow<int>(cols / Shape::kCols), narrow<int>(band),
                         narrow<int>(ceil_div(terms, int64_t{64})), narrow<int>(cols)};
  launch_clusters(ctx, "gated_product",
                  {.blocks = static_cast<unsigned>(ctx.cuda->multiprocessors() / 2 * 2),
                   .cluster = 2,
                   .threads = kGatedThreads,
                   .shared_bytes = Shape::kBytes},
                  gated_product<kBackward>, maps, tiles);
}

}  // namespace

bool fits_gated(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool forward = o.swiglu != nullptr && o.transpose_b, backward = o.before_swiglu != nullptr && !o.transpose_b;
  if (!forward && !backward) return false;
  if (o.transpose_a || o.accumulate || o.bias != nullptr || o.alpha != 1) return false;
  for (const Tensor* t : {&c, &a, &b, forward ? o.swiglu : o.before_swiglu})
    if (!has_boxes(*t)) return false;
  return forward ? c.size(1) / 2 % 128 == 0 : c.size(1) % 256 == 0;
}

bool has_gated(const CudaContext& context) {
  if (context.capability_major() != 9) return false;
  constexpr int kRegistersOfNothing = 64;  // a build without code for 9.0a has an empty kernel
  cudaFuncAttributes attributes{};
  check_cuda(cudaFuncGetAttributes(&attributes, gated_product<false>), "cudaFuncGetAttributes");
  return attributes.numRegs > kRegistersOfNothing && context.max_shared_bytes() >= GatedShape<true>::kBytes &&
         context.max_shared_bytes() >= GatedShape<false>::kBytes;
}

void gated_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const EncodeTiled encode = find_encode_tiled();
  if (o.swiglu != nullptr)
    launch<false>(ctx,
                  {map_of(encode, a, 64), map_of(encode, b, 128), map_of(encode, c, 64), map_of(encode, *o.swiglu, 64)},
                  a.size(0), c.size(1) / 2, a.size(1));
  else
    launch<true>(ctx,
                 {map_of(encode, a, 64), map_of(encode, b, 64), map_of(encode, *o.before_swiglu, 64),
                  map_of(encode, *o.before_swiglu, 64)},
                 a.size(0), c.size(1), a.size(1));
}

}  // namespace trireme::cuda
