#include "ops/cuda/gated_product.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/cuda/gated_product.cuh"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {
namespace {

constexpr int64_t kBandBytes = int64_t{12} << 20;  // of the left operand that stay in L2: a quarter of an H200's

/// Boxes of (rows, 64) of a bf16 matrix, swizzled. The driver's call is asked for by name, so that nothing is linked.
CUtensorMap map_of(const Tensor& t, int rows) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result),
             "cudaGetDriverEntryPointByVersion");
  if (found == nullptr) throw DeviceError("the driver has no cuTensorMapEncodeTiled; a newer one has");
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
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
  check_cuda(cudaFuncSetAttribute(gated_product<kBackward>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kBytes),
             "cudaFuncSetAttribute");
  cudaLaunchAttribute pair{};
  pair.id = cudaLaunchAttributeClusterDimension;
  pair.val.clusterDim = {2, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(ctx.cuda->multiprocessors() / 2 * 2));
  config.blockDim = dim3(kGatedThreads);
  config.dynamicSmemBytes = Shape::kBytes;
  config.stream = stream_of(ctx);
  config.attrs = &pair;
  config.numAttrs = 1;
  check_cuda(cudaLaunchKernelEx(&config, gated_product<kBackward>, maps, tiles), "gated_product");
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
  if (o.swiglu != nullptr)
    launch<false>(ctx, {map_of(a, 64), map_of(b, 128), map_of(c, 64), map_of(*o.swiglu, 64)}, a.size(0), c.size(1) / 2,
                  a.size(1));
  else
    launch<true>(ctx, {map_of(a, 64), map_of(b, 64), map_of(*o.before_swiglu, 64), map_of(*o.before_swiglu, 64)},
                 a.size(0), c.size(1), a.size(1));
}

}  // namespace trireme::cuda
