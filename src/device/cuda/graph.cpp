// Work noted once and asked for again with one call (CUDA graphs).
#include <cuda_runtime_api.h>

#include "base/error.h"
#include "base/log.h"
#include "device/cuda/context.h"

namespace trireme {

class CudaGraph {
 public:
  explicit CudaGraph(cudaGraph_t graph) {
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(status, "cudaGraphInstantiate");
  }
  ~CudaGraph() { cudaGraphExecDestroy(executable_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void launch(cudaStream_t stream) const { check_cuda(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

void CudaGraphDeleter::operator()(CudaGraph* graph) const noexcept { delete graph; }

CudaGraphPtr cuda_capture(CudaContext& context, const std::function<void()>& work) {
  std::string problem;
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  try {
    work();
  } catch (const DeviceError& e) {
    problem = e.what();
  } catch (...) {
    cudaStreamEndCapture(context.stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  const cudaError_t status = cudaStreamEndCapture(context.stream(), &graph);
  if (problem.empty() && status == cudaSuccess) return CudaGraphPtr(new CudaGraph(graph));
  cudaGetLastError();  // not for a later call to stumble over
  if (graph != nullptr) cudaGraphDestroy(graph);
  log_info(
      cat("no CUDA graph: ", problem.empty() ? cudaGetErrorString(status) : problem, "; the work goes on without"));
  return nullptr;
}

void cuda_replay(CudaContext& context, const CudaGraph& graph) { graph.launch(context.stream()); }

bool cuda_is_profiled(const CudaContext& context) { return context.profile != nullptr; }

PinnedMemory::PinnedMemory(void* data, int64_t bytes) : data_(data) {
  if (data_ == nullptr || cudaHostRegister(data_, static_cast<size_t>(bytes), cudaHostRegisterDefault) == cudaSuccess)
    return;
  cudaGetLastError();  // copies are slower then, and that is all
  data_ = nullptr;
}

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaHostUnregister(data_);
}

}  // namespace trireme
