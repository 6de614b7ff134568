// cuBLASLt sees our row-major c = a . b as the column-major c^T = b^T . a^T: its first operand is our b, its second our
// a, and a bias along our columns is one along its rows, as its epilogue wants it.
#include "ops/cuda/matmul.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "device/cuda/context.h"
#include "ops/cuda/activation.h"
#include "ops/cuda/plain_matmul.h"

namespace trireme::cuda {
namespace {

constexpr int kCandidates = 16;
constexpr int kTimedRuns = 4;
constexpr double kTunedFlops = 1e9;  // of smaller products the likeliest candidate is taken: noise would choose
constexpr float kClearlyFaster = 0.98F;

void check_blas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(cat(call, ": ", cublasLtGetStatusString(status)));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: return CUDA_R_32F;
  }
}

/// An owner of one of cuBLASLt's descriptors.
template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() {
    if (handle != nullptr) kDestroy(handle);
  }
  Descriptor(Descriptor&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  Handle handle = nullptr;
};
using OperationDescriptor = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

/// Rows of a matrix, as stored, and elements from one to the next.
int64_t pitch(const Tensor& t) { return t.size(0) > 1 ? t.stride(0) : t.size(1); }

/// Largest power of two, up to 256, that divides the address.
uint32_t alignment(const Tensor& t) {
  const auto address = reinterpret_cast<uintptr_t>(t.data);
  return static_cast<uint32_t>(std::min<uintptr_t>(address & (~address + 1), 256));
}

const Tensor* side_of_gelu(const MatmulOptions& o) {
  return o.before_gelu != nullptr ? o.before_gelu : o.times_gelu_of;
}

/// Everything that decides which algorithm is fastest.
using Key = std::array<int64_t, 17>;

Key key_of(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o, bool tf32) {
  return {c.size(0),
          c.size(1),
          a.size(o.transpose_a ? 0 : 1),
          pitch(a),
          pitch(b),
          pitch(c),
          static_cast<int64_t>(a.dtype),
          static_cast<int64_t>(b.dtype),
          static_cast<int64_t>(c.dtype),
          o.transpose_a + 2 * o.transpose_b + 4 * o.accumulate + 8 * (o.bias != nullptr) + 16 * tf32 +
              32 * (o.before_gelu != nullptr) + 64 * (o.times_gelu_of != nullptr),
          o.bias == nullptr ? 0 : static_cast<int64_t>(o.bias->dtype),
          alignment(a),
          alignment(b),
          alignment(c),
          o.bias == nullptr ? 0 : alignment(*o.bias),
          side_of_gelu(o) == nullptr ? 0 : pitch(*side_of_gelu(o)),
          side_of_gelu(o) == nullptr ? 0 : alignment(*side_of_gelu(o))};
}

/// How a product is computed: by one of cuBLASLt's algorithms; product and GELU one after the other; by plain_matmul,
/// where cuBLASLt has nothing for it.
enum class Way { library, apart, plain };

struct Prepared {
  OperationDescriptor operation;
  MatrixLayout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
  Way way = Way::library;
};

struct MatmulState final : CudaState {
  std::map<Key, Prepared> prepared;
  bool tf32 = false;
};

MatmulState& state_of(CudaContext& context) {
  if (context.matmul_state == nullptr) context.matmul_state = std::make_unique<MatmulState>();
  return static_cast<MatmulState&>(*context.matmul_state);
}

template <class Value>
void set(const OperationDescriptor& d, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check_blas(cublasLtMatmulDescSetAttribute(d.handle, attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
}
template <class Value>
void set(const Preference& p, cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  check_blas(cublasLtMatmulPreferenceSetAttribute(p.handle, attribute, &value, sizeof value),
             "cublasLtMatmulPreferenceSetAttribute");
}

MatrixLayout layout_of(const Tensor& t) {
  MatrixLayout layout;
  check_blas(cublasLtMatrixLayoutCreate(&layout.handle, type_of(t.dtype), static_cast<uint64_t>(t.size(1)),
                                        static_cast<uint64_t>(t.size(0)), pitch(t)),
             "cublasLtMatrixLayoutCreate");
  return layout;
}

/// The pointers that belong to a call and lie in the descriptor.
void set_pointers(const Prepared& p, const MatmulOptions& o) {
  if (o.bias != nullptr) set(p.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias->data);
  if (const Tensor* side = side_of_gelu(o); side != nullptr)
    set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, side->data);
}

Prepared describe(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o, bool tf32) {
  Prepared p;
  const cublasComputeType_t compute = tf32 && a.dtype == DType::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check_blas(cublasLtMatmulDescCreate(&p.operation.handle, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  set(p.operation, CUBLASLT_MATMUL_DESC_TRANSA, o.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(p.operation, CUBLASLT_MATMUL_DESC_TRANSB, o.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  cublasLtEpilogue_t epilogue = o.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  if (o.before_gelu != nullptr)
    epilogue = o.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  if (o.times_gelu_of != nullptr) epilogue = CUBLASLT_EPILOGUE_DGELU;
  set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (o.bias != nullptr) set(p.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(o.bias->dtype));
  if (const Tensor* side = side_of_gelu(o); side != nullptr) {
    set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, pitch(*side));
    set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, type_of(side->dtype));
  }
  set_pointers(p, o);
  p.a = layout_of(a);
  p.b = layout_of(b);
  p.c = layout_of(c);
  return p;
}

/// cuBLASLt's candidates, the likeliest first; none where it cannot do this product.
std::vector<cublasLtMatmulAlgo_t> candidates(cublasLtHandle_t blas, const Prepared& p, const Tensor& c, const Tensor& a,
                                             const Tensor& b) {
  Preference preference;
  check_blas(cublasLtMatmulPreferenceCreate(&preference.handle), "cublasLtMatmulPreferenceCreate");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kMatmulWorkspace));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));
  // Parts of a sum over k are added in f32, never in the type of a 16-bit result.
  if (c.dtype != DType::f32)
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(blas, p.operation.handle, p.b.handle, p.a.handle, p.c.handle, p.c.handle,
                                     preference.handle, kCandidates, results.data(), &found);
  std::vector<cublasLtMatmulAlgo_t> out;
  if (status != CUBLAS_STATUS_SUCCESS) return out;
  for (int i = 0; i < found; ++i)
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      out.push_back(results[static_cast<size_t>(i)].algo);
  return out;
}

struct Call {
  CudaContext& context;
  const Tensor &a, &b;
  float alpha, beta;
  const Tensor& workspace;
};

cublasStatus_t run(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm, void* c) {
  return cublasLtMatmul(call.context.blas(), p.operation.handle, &call.alpha, call.b.data, p.b.handle, call.a.data,
                        p.a.handle, &call.beta, c, p.c.handle, c, p.c.handle, &algorithm, call.workspace.data,
                        static_cast<size_t>(call.workspace.bytes()), call.context.stream());
}

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

  void begin() { check_cuda(cudaEventRecord(begin_, stream_), "cudaEventRecord"); }
  float milliseconds() {
    check_cuda(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
    return ms;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// The fastest candidate, found by running each; the likeliest unless another is clearly faster. With beta the result
/// must not be added several times, so the runs go to a copy of c; where there is no room for one, the likeliest it is.
cublasLtMatmulAlgo_t fastest(const Call& call, const Prepared& p, const std::vector<cublasLtMatmulAlgo_t>& all,
                             const Tensor& c) {
  if (all.size() == 1) return all[0];
  void* to = c.data;
  void* copy = nullptr;
  if (call.beta != 0) {
    const auto bytes = static_cast<size_t>(((c.size(0) - 1) * pitch(c) + c.size(1)) * dtype_size(c.dtype));
    if (cudaMalloc(&copy, bytes) != cudaSuccess) {
      cudaGetLastError();
      return all[0];
    }
    check_cuda(cudaMemcpyAsync(copy, c.data, bytes, cudaMemcpyDeviceToDevice, call.context.stream()),
               "cudaMemcpyAsync");
    to = copy;
  }
  Stopwatch watch(call.context.stream());
  size_t best = 0;
  float best_ms = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < all.size(); ++i) {
    if (run(call, p, all[i], to) != CUBLAS_STATUS_SUCCESS) continue;
    watch.begin();
    for (int r = 0; r < kTimedRuns; ++r) run(call, p, all[i], to);
    if (const float ms = watch.milliseconds(); ms < kClearlyFaster * best_ms) {
      best_ms = ms;
      best = i;
    }
  }
  if (copy != nullptr) check_cuda(cudaFree(copy), "cudaFree");
  return all[best];
}

/// Product and GELU one after the other.
void matmul_apart(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o,
                  const Tensor& workspace) {
  MatmulOptions product = o;
  product.before_gelu = product.times_gelu_of = nullptr;
  matmul(ctx, o.before_gelu != nullptr ? *o.before_gelu : c, a, b, product, workspace);
  if (o.before_gelu != nullptr)
    gelu_forward(ctx, c, *o.before_gelu);
  else
    gelu_backward(ctx, c, c, *o.times_gelu_of);
}

/// Milliseconds of some runs of f, after one that does not count.
template <class F>
float measured(const Ctx& ctx, F f) {
  f();
  Stopwatch watch(ctx.cuda->stream());
  watch.begin();
  for (int r = 0; r < kTimedRuns; ++r) f();
  return watch.milliseconds();
}

/// Whether rows begin at multiples of 16 bytes.
bool is_packed(const Tensor& t) { return alignment(t) >= 16 && pitch(t) * dtype_size(t.dtype) % 16 == 0; }

/// Seen of cuBLASLt 13: a 16-bit product is rounded before the old c is added to it, and, where rows are not packed,
/// before the bias is. Ours is rounded once.
bool rounds_twice(const Call& call, const Tensor& c, const MatmulOptions& o) {
  if (c.dtype == DType::f32) return false;
  const bool packed = is_packed(call.a) && is_packed(call.b) && is_packed(c);
  return o.accumulate || (!packed && (o.bias != nullptr || side_of_gelu(o) != nullptr));
}

Prepared prepare(Ctx& ctx, const Call& call, const Tensor& c, const MatmulOptions& o) {
  const bool has_gelu = side_of_gelu(o) != nullptr;
  const bool fuses = (!has_gelu || c.dtype != DType::f32) && !rounds_twice(call, c, o);
  Prepared p;
  std::vector<cublasLtMatmulAlgo_t> all;
  if (call.a.numel() > 0 && call.a.dtype == call.b.dtype && fuses) {
    p = describe(c, call.a, call.b, o, state_of(*ctx.cuda).tf32);
    all = candidates(ctx.cuda->blas(), p, c, call.a, call.b);
  }
  p.way = all.empty() ? has_gelu ? Way::apart : Way::plain : Way::library;
  if (all.empty()) return p;
  p.algorithm = all[0];
  const double flops = 2.0 * static_cast<double>(call.a.numel()) * static_cast<double>(c.size(1));
  if (flops < kTunedFlops) return p;
  p.algorithm = fastest(call, p, all, c);
  if (!has_gelu) return p;
  const float together = measured(ctx, [&] { run(call, p, p.algorithm, c.data); });
  const float apart = measured(ctx, [&] { matmul_apart(ctx, c, call.a, call.b, o, call.workspace); });
  if (apart < kClearlyFaster * together) p.way = Way::apart;
  return p;
}

}  // namespace

void matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o,
            const Tensor& workspace) {
  MatmulState& state = state_of(*ctx.cuda);
  const Key key = key_of(c, a, b, o, state.tf32);
  const Call call{*ctx.cuda, a, b, o.alpha, o.accumulate ? 1.0F : 0.0F, workspace};
  auto found = state.prepared.find(key);
  if (found == state.prepared.end()) found = state.prepared.emplace(key, prepare(ctx, call, c, o)).first;
  const Prepared& p = found->second;
  if (p.way == Way::plain) return plain_matmul(ctx, c, a, b, o);
  if (p.way == Way::apart) return matmul_apart(ctx, c, a, b, o, workspace);
  set_pointers(p, o);
  check_blas(run(call, p, p.algorithm, c.data), "cublasLtMatmul");
}

void set_tf32(CudaContext& context, bool on) { state_of(context).tf32 = on; }

std::string blas_name() {
  const size_t v = cublasLtGetVersion();
  return cat("cuBLASLt ", v / 10000, ".", v / 100 % 100, ".", v % 100);
}

}  // namespace trireme::cuda
