// The functions of cuDNN and of CUDA's run-time compiler that cuDNN's front end calls.
#include "ops/cuda/cudnn_library.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <nvrtc.h>

#include "base/error.h"
#include "device/cuda/libraries.h"

namespace trireme::cuda {
namespace {

const SharedLibrary& compiler_library() {
  static const SharedLibrary library(cat("libnvrtc.so.", CUDART_VERSION / 1000), cuda_library_folders());
  return library;
}

}  // namespace

const SharedLibrary& cudnn_library() {
  compiler_library();
  static const SharedLibrary library(cat("libcudnn.so.", CUDNN_MAJOR), cuda_library_folders());
  return library;
}

}  // namespace trireme::cuda

#define HAND_ON(result, name, parameters, arguments) \
  TRIREME_HAND_ON(trireme::cuda::cudnn_library(), result, name, parameters, arguments)
#define HAND_ON_COMPILER(name, parameters, arguments) \
  TRIREME_HAND_ON(trireme::cuda::compiler_library(), nvrtcResult, name, parameters, arguments)

extern "C" {

HAND_ON(size_t, cudnnGetVersion, (), ())
HAND_ON(const char*, cudnnGetErrorString, (cudnnStatus_t status), (status))
HAND_ON(void, cudnnGetLastErrorString, (char* message, size_t size), (message, size))
HAND_ON(cudnnStatus_t, cudnnCreate, (cudnnHandle_t * handle), (handle))
HAND_ON(cudnnStatus_t, cudnnDestroy, (cudnnHandle_t handle), (handle))
HAND_ON(cudnnStatus_t, cudnnSetStream, (cudnnHandle_t handle, cudaStream_t stream), (handle, stream))
HAND_ON(cudnnStatus_t, cudnnGetStream, (cudnnHandle_t handle, cudaStream_t* stream), (handle, stream))
HAND_ON(cudnnStatus_t, cudnnBackendCreateDescriptor,
        (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor), (type, descriptor))
HAND_ON(cudnnStatus_t, cudnnBackendDestroyDescriptor, (cudnnBackendDescriptor_t descriptor), (descriptor))
HAND_ON(cudnnStatus_t, cudnnBackendFinalize, (cudnnBackendDescriptor_t descriptor), (descriptor))
HAND_ON(cudnnStatus_t, cudnnBackendSetAttribute,
        (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
         int64_t count, const void* elements),
        (descriptor, name, type, count, elements))
HAND_ON(cudnnStatus_t, cudnnBackendGetAttribute,
        (const cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
         int64_t room, int64_t* count, void* elements),
        (descriptor, name, type, room, count, elements))
HAND_ON(cudnnStatus_t, cudnnBackendExecute,
        (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pointers),
        (handle, plan, pointers))

HAND_ON_COMPILER(nvrtcCreateProgram,
                 (nvrtcProgram * program, const char* source, const char* name, int headers,
                  const char* const* header_sources, const char* const* header_names),
                 (program, source, name, headers, header_sources, header_names))
HAND_ON_COMPILER(nvrtcCompileProgram, (nvrtcProgram program, int options, const char* const* words),
                 (program, options, words))
HAND_ON_COMPILER(nvrtcDestroyProgram, (nvrtcProgram * program), (program))
HAND_ON_COMPILER(nvrtcGetCUBINSize, (nvrtcProgram program, size_t* size), (program, size))
HAND_ON_COMPILER(nvrtcGetCUBIN, (nvrtcProgram program, char* code), (program, code))
HAND_ON_COMPILER(nvrtcGetProgramLogSize, (nvrtcProgram program, size_t* size), (program, size))
HAND_ON_COMPILER(nvrtcGetProgramLog, (nvrtcProgram program, char* log), (program, log))

}  // extern "C"
