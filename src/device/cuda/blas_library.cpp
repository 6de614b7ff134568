// cuBLASLt, opened at its first use (device/cuda/libraries.h).
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdlib>

#include "base/error.h"
#include "device/cuda/libraries.h"

namespace trireme {

std::vector<std::string> cuda_library_folders() {
  std::vector<std::string> folders;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable); home != nullptr && *home != 0) folders.push_back(cat(home, "/lib64"));
  folders.emplace_back("/usr/local/cuda/lib64");
  folders.push_back(cat("/usr/local/cuda-", CUDART_VERSION / 1000, "/lib64"));
  return folders;
}

const SharedLibrary& blas_library() {
  static const SharedLibrary library(cat("libcublasLt.so.", CUBLAS_VER_MAJOR), cuda_library_folders());
  return library;
}

}  // namespace trireme

#define HAND_ON(result, name, parameters, arguments) \
  TRIREME_HAND_ON(trireme::blas_library(), result, name, parameters, arguments)

extern "C" {

HAND_ON(size_t, cublasLtGetVersion, (), ())
HAND_ON(const char*, cublasLtGetStatusString, (cublasStatus_t status), (status))
HAND_ON(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t * handle), (handle))
HAND_ON(cublasStatus_t, cublasLtDestroy, (cublasLtHandle_t handle), (handle))
HAND_ON(cublasStatus_t, cublasLtMatrixLayoutCreate,
        (cublasLtMatrixLayout_t * layout, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld),
        (layout, type, rows, columns, ld))
HAND_ON(cublasStatus_t, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout), (layout))
HAND_ON(cublasStatus_t, cublasLtMatrixLayoutSetAttribute,
        (cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const void* value, size_t size),
        (layout, attribute, value, size))
HAND_ON(cublasStatus_t, cublasLtMatmulDescCreate,
        (cublasLtMatmulDesc_t * operation, cublasComputeType_t compute, cudaDataType_t scale),
        (operation, compute, scale))
HAND_ON(cublasStatus_t, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t operation), (operation))
HAND_ON(cublasStatus_t, cublasLtMatmulDescSetAttribute,
        (cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t size),
        (operation, attribute, value, size))
HAND_ON(cublasStatus_t, cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * preference), (preference))
HAND_ON(cublasStatus_t, cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t preference), (preference))
HAND_ON(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute,
        (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
         size_t size),
        (preference, attribute, value, size))
HAND_ON(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int asked,
         cublasLtMatmulHeuristicResult_t found[], int* count),
        (handle, operation, a, b, c, d, preference, asked, found, count))
HAND_ON(cublasStatus_t, cublasLtMatmulAlgoCheck,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
         cublasLtMatmulHeuristicResult_t* found),
        (handle, operation, a, b, c, d, algorithm, found))
HAND_ON(cublasStatus_t, cublasLtMatmul,
        (cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
         cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
         const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
         const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_size, cudaStream_t stream),
        (handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace,
         workspace_size, stream))

}  // extern "C"
