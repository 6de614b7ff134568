// Where a step's time goes on the GPU: an event before each op, read when all is over.
#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"
#include "device/cuda/context.h"

namespace trireme {
namespace {

struct Profile final : CudaState {
  struct Mark {
    cudaEvent_t event;
    const char* op;
    double flops, bytes;
  };
  ~Profile() override {
    for (const Mark& mark : marks) cudaEventDestroy(mark.event);
  }
  std::vector<Mark> marks;
};

}  // namespace

void cuda_profile_start(CudaContext& context) { context.profile = std::make_unique<Profile>(); }

void cuda_profile_mark(CudaContext& context, const char* op, double flops, double bytes) {
  if (context.profile == nullptr) return;
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreate(&event), "cudaEventCreate");
  static_cast<Profile&>(*context.profile).marks.push_back({event, op, flops, bytes});
  check_cuda(cudaEventRecord(event, context.stream()), "cudaEventRecord");
}

std::vector<CudaSpan> cuda_profile_end(CudaContext& context) {
  CHECK(context.profile != nullptr, "no profile was started");
  cuda_profile_mark(context, "end", 0, 0);
  cuda_synchronize(&context);
  const auto& marks = static_cast<Profile&>(*context.profile).marks;
  std::map<std::tuple<std::string, double, double>, CudaSpan> spans;
  for (size_t i = 0; i + 1 < marks.size(); ++i) {
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, marks[i].event, marks[i + 1].event), "cudaEventElapsedTime");
    CudaSpan& span = spans[{marks[i].op, marks[i].flops, marks[i].bytes}];
    span.op = marks[i].op;
    span.flops = marks[i].flops;
    span.bytes = marks[i].bytes;
    span.ms += ms;
    ++span.calls;
  }
  context.profile.reset();
  std::vector<CudaSpan> out;
  for (auto& [key, span] : spans) out.push_back(std::move(span));
  std::sort(out.begin(), out.end(), [](const CudaSpan& a, const CudaSpan& b) { return a.ms > b.ms; });
  return out;
}

}  // namespace trireme
