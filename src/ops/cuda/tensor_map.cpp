#include "ops/cuda/tensor_map.h"

#include "base/strings.h"
#include "device/cuda/context.h"

namespace trireme::cuda {
namespace {

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

}  // namespace

bool has_boxes(const Tensor& t) {
  return t.dtype == DType::bf16 && t.size(0) > 0 && reinterpret_cast<uintptr_t>(t.data) % 16 == 0 &&
         t.stride(0) % 8 == 0 && t.size(0) < INT32_MAX && t.size(1) < INT32_MAX;
}

CUtensorMap map_of(const Tensor& t, int rows, int cols) {
  static const EncodeTiled encode = find_encode_tiled();
  const cuuint64_t size[2] = {static_cast<cuuint64_t>(t.size(1)), static_cast<cuuint64_t>(t.size(0))};
  const cuuint64_t pitch[1] = {static_cast<cuuint64_t>(t.stride(0) * dtype_size(t.dtype))};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(cols), static_cast<cuuint32_t>(rows)}, step[2] = {1, 1};
  const CUtensorMapSwizzle swizzle = cols == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B;
  CUtensorMap map;
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, t.data, size, pitch, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
             swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) throw DeviceError(cat("cuTensorMapEncodeTiled of ", t.str(), ": error ", int{status}));
  return map;
}

}  // namespace trireme::cuda
