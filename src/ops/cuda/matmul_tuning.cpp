#include "ops/cuda/matmul_tuning.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace trireme::cuda {
namespace {

constexpr int kRuns = 3;           // timed together
constexpr float kHopeless = 1.3F;  // times the best of the first look: not looked at again
constexpr int kRounds = 2;         // after the first look, forth and back, so that a drift of the clock cancels
constexpr float kWarmUp = 250;     // milliseconds before the first of all
constexpr float kClearlyFaster = 0.99F;
constexpr float kSettling = 30, kTimed = 40;  // milliseconds of a turn before and while it is timed

/// Events around a run of calls.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {
    check_cuda(cudaEventCreate(&begin_), "cudaEventCreate");
    check_cuda(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  /// Milliseconds of one of `runs` calls of f. Waits for them.
  template <class F>
  float time(int runs, F f) {
    check_cuda(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    for (int i = 0; i < runs; ++i) f();
    check_cuda(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
    return ms / static_cast<float>(runs);
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

struct Entrant {
  const cublasLtMatmulAlgo_t* algorithm;
  float look;       // of the first look
  float total = 0;  // of all rounds
};

/// The candidates that work and are not hopeless, in their order.
std::vector<Entrant> entrants(const Call& call, const Prepared& p, const std::vector<cublasLtMatmulAlgo_t>& all,
                              void* to, Stopwatch& watch) {
  std::vector<Entrant> out;
  float best = std::numeric_limits<float>::infinity();
  for (const cublasLtMatmulAlgo_t& algorithm : all) {
    if (run(call, p, algorithm, to) != CUBLAS_STATUS_SUCCESS) continue;
    out.push_back({&algorithm, watch.time(kRuns, [&] { run(call, p, algorithm, to); })});
    best = std::min(best, out.back().look);
  }
  std::erase_if(out, [&](const Entrant& e) { return e.look > kHopeless * best; });
  return out;
}

}  // namespace

CopyOf::CopyOf(const Tensor& t, cudaStream_t stream) {
  const int64_t pitch = t.size(0) > 1 ? t.stride(0) : t.size(1);
  const auto bytes = static_cast<size_t>(((t.size(0) - 1) * pitch + t.size(1)) * dtype_size(t.dtype));
  if (cudaMalloc(&data_, bytes) != cudaSuccess) {
    cudaGetLastError();  // not for a later kernel to stumble over
    data_ = nullptr;
    return;
  }
  check_cuda(cudaMemcpyAsync(data_, t.data, bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
}

CopyOf::~CopyOf() { cudaFree(data_); }

float milliseconds(CudaContext& context, const std::function<void()>& f) {
  Stopwatch watch(context.stream());
  f();
  return watch.time(kRuns, f);
}

bool is_faster(CudaContext& context, const std::function<void()>& f, const std::function<void()>& g) {
  Stopwatch watch(context.stream());
  const std::function<void()>* const turns[] = {&f, &g, &g, &f};
  float of_f = 0, of_g = 0;
  for (const std::function<void()>* turn : turns) {
    (*turn)();
    const float one = std::max(watch.time(1, *turn), 1e-2F);
    watch.time(1 + static_cast<int>(kSettling / one), *turn);
    (turn == &f ? of_f : of_g) += watch.time(1 + static_cast<int>(kTimed / one), *turn);
  }
  return of_f < kClearlyFaster * of_g;
}

void warm_up(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm) {
  Stopwatch watch(call.context.stream());
  const auto product = [&] { run(call, p, algorithm, call.c.data); };
  const float one = watch.time(kRuns, product);
  watch.time(std::clamp(static_cast<int>(kWarmUp / std::max(one, 1e-2F)), 1, 10000), product);
}

cublasLtMatmulAlgo_t fastest(const Call& call, const Prepared& p, const std::vector<cublasLtMatmulAlgo_t>& all) {
  if (all.size() == 1) return all[0];
  std::optional<CopyOf> copy;
  void* to = call.c.data;
  if (call.options.accumulate) {
    copy.emplace(call.c, call.context.stream());
    to = copy->data();
    if (to == nullptr) return all[0];
  }
  Stopwatch watch(call.context.stream());
  std::vector<Entrant> left = entrants(call, p, all, to, watch);
  if (left.empty()) return all[0];
  if (left.size() == 1) return *left[0].algorithm;
  for (int round = 0; round < kRounds; ++round) {
    for (Entrant& e : left) e.total += watch.time(kRuns, [&] { run(call, p, *e.algorithm, to); });
    std::reverse(left.begin(), left.end());
  }
  const Entrant* best = &left[0];
  for (const Entrant& e : left)
    if (e.total < kClearlyFaster * best->total) best = &e;
  return *best->algorithm;
}

}  // namespace trireme::cuda
