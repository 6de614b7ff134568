// The stand-in where CUDA is not built in: no GPU exists, and any use of one is an error.
#include "base/error.h"
#include "device/cuda.h"

namespace trireme {
namespace {
[[noreturn]] void fail() {
  throw DeviceError("this trireme was built without CUDA; use device=cpu, or build with the preset 'cuda'");
}
}  // namespace

bool built_with_cuda() { return false; }
int cuda_device_count() { return 0; }
std::string cuda_problem() { return "this trireme was built without CUDA (build it with the preset 'cuda')"; }
CudaMemory cuda_memory(int) { fail(); }
std::string cuda_device_name(int) { fail(); }
void* cuda_allocate(int, int64_t) { fail(); }
void cuda_free(int, void*) noexcept {}
void cuda_fill(int, void*, uint8_t, int64_t) { fail(); }
void cuda_copy(Device, void*, Device, const void*, int64_t) { fail(); }
void cuda_copy_rows(Device, void*, int64_t, Device, const void*, int64_t, int64_t, int64_t) { fail(); }

void CudaContextDeleter::operator()(CudaContext*) const noexcept {}
CudaContextPtr make_cuda_context(Device device, const CudaOptions&) {
  if (device.kind == DeviceKind::cuda) fail();
  return nullptr;
}
void cuda_synchronize(CudaContext*) {}
void CudaGraphDeleter::operator()(CudaGraph*) const noexcept {}
CudaGraphPtr cuda_capture(CudaContext&, const std::function<void()>&) { fail(); }
void cuda_replay(CudaContext&, const CudaGraph&) { fail(); }
PinnedMemory::PinnedMemory(void*, int64_t) {}
PinnedMemory::~PinnedMemory() = default;
void cuda_profile_start(CudaContext&) { fail(); }
bool cuda_is_profiled(const CudaContext&) { fail(); }
void cuda_profile_mark(CudaContext&, const char*, double, double) { fail(); }
std::vector<CudaSpan> cuda_profile_end(CudaContext&) { fail(); }

}  // namespace trireme
