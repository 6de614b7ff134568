// What the rest of the program needs of CUDA. Linked to the real thing or to no_cuda.cpp; kernels see more of the
// context in device/cuda/context.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"

namespace trireme {

bool built_with_cuda();

/// Number of usable GPUs; 0 where this binary has no CUDA or the machine no driver.
int cuda_device_count();
/// Why there is none, and what to do about it; empty where there is one.
std::string cuda_problem();

/// Memory of one GPU in bytes, as the driver says now.
struct CudaMemory {
  int64_t free = 0, total = 0;
};
CudaMemory cuda_memory(int index);
/// "NVIDIA H200, compute capability 9.0".
std::string cuda_device_name(int index);

void* cuda_allocate(int index, int64_t bytes);
void cuda_free(int index, void* data) noexcept;
void cuda_fill(int index, void* data, uint8_t byte, int64_t bytes);
/// Waits for all work on the GPU that was asked for before, and returns when the bytes are copied.
void cuda_copy(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);
/// `rows` runs of `bytes`, `to_pitch` and `from_pitch` bytes apart; otherwise as cuda_copy.
void cuda_copy_rows(Device to_device, void* to, int64_t to_pitch, Device from_device, const void* from,
                    int64_t from_pitch, int64_t bytes, int64_t rows);

/// One GPU's compute stream, library handles, and what the ops remember of earlier calls (tuned products, built plans).
/// Ops with ctx.cuda set return before the GPU is done; their order is that of the calls. Owned by whoever runs ops.
class CudaContext;
struct CudaContextDeleter {
  void operator()(CudaContext* context) const noexcept;
};
using CudaContextPtr = std::unique_ptr<CudaContext, CudaContextDeleter>;

struct CudaOptions {
  std::string cache_folder;  // where what was tuned outlives the process; empty: nowhere
};

/// Null for a device that is not a GPU. DeviceError where the GPU cannot be used.
CudaContextPtr make_cuda_context(Device device, const CudaOptions& options = {});
/// Returns when all ops asked for are done; an error of any of them shows here. Does nothing for null.
void cuda_synchronize(CudaContext* context);

/// Work that was noted once. It reads and writes the same memory whenever it is asked for.
class CudaGraph;
struct CudaGraphDeleter {
  void operator()(CudaGraph* graph) const noexcept;
};
using CudaGraphPtr = std::unique_ptr<CudaGraph, CudaGraphDeleter>;
/// Notes what `work` asks for on the context's stream, without doing it. Nothing in it may wait for the GPU, copy from
/// or to the host, or be tuned for the first time: where it cannot be noted, null, and one line in the log says why.
CudaGraphPtr cuda_capture(CudaContext& context, const std::function<void()>& work);
void cuda_replay(CudaContext& context, const CudaGraph& graph);

/// Keeps pages of host memory in place, so that copies between them and a GPU are fast. Of no effect without CUDA.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(void* data, int64_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

 private:
  void* data_ = nullptr;
};

/// From now on the GPU's time is noted op by op. Costs about a microsecond an op.
void cuda_profile_start(CudaContext& context);
bool cuda_is_profiled(const CudaContext& context);
/// Called by the dispatchers before each op: ends the span of the op before. Does nothing where no profile runs.
void cuda_profile_mark(CudaContext& context, const char* op, double flops, double bytes);
/// Calls of one op with the same cost. `ms`: from its start to that of the next op, gaps between kernels included.
struct CudaSpan {
  std::string op;
  double flops = 0, bytes = 0;  // of one call
  int64_t calls = 0;
  double ms = 0;  // of all calls
};
/// Ends the profile; the dearest first.
std::vector<CudaSpan> cuda_profile_end(CudaContext& context);

}  // namespace trireme
