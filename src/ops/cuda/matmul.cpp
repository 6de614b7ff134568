#include "ops/cuda/matmul.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <map>
#include <optional>
#include <span>

#include "base/log.h"
#include "ops/beside_product.h"
#include "ops/cuda/blas_product.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/fused_product.h"
#include "ops/cuda/matmul_tuning.h"
#include "ops/cuda/plain_matmul.h"
#include "ops/tuning_file.h"

namespace trireme::cuda {
namespace {

constexpr double kTunedFlops = 1e9;  // of smaller products the likeliest candidate is taken: noise would choose
constexpr float kClearlyFaster = 0.98F;
constexpr int kFirstWithBf16 = 8;  // compute capability
/// Of ours, which cuBLASLt is tried against: counted on where a product that older ones lost is to be tried anew.
constexpr const char* kKernels = "kernels 2";

/// Where tuning outlives the process: a file for each kind of GPU and version of the library.
std::string tuning_path(const CudaContext& context) {
  const CudaOptions& options = context.options();
  if (options.cache_folder.empty()) return "";
  std::string name = cat(cuda_device_name(context.index()), " ", blas_name(), " products.json");
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.') c = '_';
  return cat(options.cache_folder, "/", name);
}

struct MatmulState final : CudaState {
  explicit MatmulState(const CudaContext& context)
      : tuning(tuning_path(context), cat(cuda_device_name(context.index()), ", ", blas_name(), ", ", kKernels)) {}
  std::map<ProductKey, Prepared> prepared;
  TuningFile tuning;
  bool tf32 = false;
  bool warm = false;  // the GPU has been at work for a while
};

MatmulState& state_of(CudaContext& context) {
  if (context.matmul_state == nullptr) context.matmul_state = std::make_unique<MatmulState>(context);
  return static_cast<MatmulState&>(*context.matmul_state);
}

std::string text_of(const ProductKey& key) {
  std::string text;
  for (const int64_t part : key) text += cat(text.empty() ? "" : " ", part);
  return text;
}

using AlgorithmWords = std::array<uint64_t, sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t)>;

/// "0 3a ff ...": the way, and the algorithm, which cuBLASLt allows to be kept for one version of it.
std::string text_of(const Prepared& p) {
  std::string text = cat(static_cast<int>(p.way));
  AlgorithmWords words;
  std::memcpy(words.data(), &p.algorithm, sizeof words);
  for (const uint64_t word : words) {
    char buffer[20];
    std::snprintf(buffer, sizeof buffer, " %" PRIx64, word);
    text += buffer;
  }
  return text;
}

/// Takes way and algorithm from the file, where they are known and still good.
bool recall(const TuningFile& tuning, const std::string& key, const Call& call, bool fuses, Prepared& p) {
  const std::string* text = tuning.find(key);
  if (text == nullptr) return false;
  int way = 0, used = 0;
  if (std::sscanf(text->c_str(), "%d%n", &way, &used) != 1) return false;
  AlgorithmWords words;
  const char* at = text->c_str() + used;
  for (uint64_t& word : words) {
    if (std::sscanf(at, "%" SCNx64 "%n", &word, &used) != 1) return false;
    at += used;
  }
  p.way = static_cast<Way>(way);
  if (p.way == Way::apart) return side_of(call.options) != nullptr;
  if (p.way == Way::fused) return fuses;
  if (p.way != Way::library || p.operation.handle == nullptr) return false;
  std::memcpy(&p.algorithm, words.data(), sizeof p.algorithm);
  return is_usable(call, p, p.algorithm);
}

/// The product and what is beside it, one after the other.
void matmul_apart(Ctx& ctx, const Call& call) {
  const MatmulOptions& o = call.options;
  matmul(ctx, product_of(call.c, o), call.a, call.b, product_alone(o), call.workspace);
  finish_product(ctx, call.c, o, call.workspace);
}

void carry_out(Ctx& ctx, const Call& call, const Prepared& p) {
  const auto& [context, c, a, b, o, workspace] = call;
  if (p.way == Way::plain) return plain_matmul(ctx, c, a, b, o);
  if (p.way == Way::apart) return matmul_apart(ctx, call);
  if (p.way == Way::fused) return fused_matmul(ctx, c, a, b, o, workspace);
  check_blas(run(call, p, p.algorithm, c.data), "cublasLtMatmul");
  if (o.bias_gradient != nullptr) finish_product(ctx, c, {.bias_gradient = o.bias_gradient}, workspace);
}

/// Tries the candidates, and GELU along with them against GELU apart.
void tune(Ctx& ctx, const Call& call, const std::vector<cublasLtMatmulAlgo_t>& all, Prepared& p) {
  MatmulState& state = state_of(*ctx.cuda);
  if (!state.warm && !call.options.accumulate) {
    warm_up(call, p, all[0]);
    state.warm = true;
  }
  p.algorithm = fastest(call, p, all);
  if (side_of_gelu(call.options) == nullptr) return;
  const float together = milliseconds(*ctx.cuda, [&] { carry_out(ctx, call, p); });
  const float apart = milliseconds(*ctx.cuda, [&] { matmul_apart(ctx, call); });
  if (apart < kClearlyFaster * together) p.way = Way::apart;
}

/// A call like another that leaves alone what the other's changes besides c.
class Trial {
 public:
  explicit Trial(const Call& of) : call{of.context, of.c, of.a, of.b, options_, of.workspace}, options_(of.options) {
    for (const Tensor** changed : {&options_.before_swiglu, &options_.bias_gradient}) {
      if (*changed == nullptr) continue;
      copy_ = **changed;
      copy_.data =
          memory_.emplace(copy_.rank() == 2 ? copy_ : copy_.reshape({1, copy_.numel()}), of.context.stream()).data();
      *changed = &copy_;
    }
  }
  /// Whether there was room for it.
  bool possible() const { return !memory_ || memory_->data() != nullptr; }
  const Call call;

 private:
  MatmulOptions options_;
  std::optional<CopyOf> memory_;
  Tensor copy_;
};

double flops_of(const Call& call) {
  return 2.0 * static_cast<double>(call.a.numel()) * static_cast<double>(call.c.size(1));
}

/// cuBLASLt's descriptors and candidates, none where it has nothing for this product or must not be asked.
std::vector<cublasLtMatmulAlgo_t> ask_library(const Call& call, bool tf32, Prepared& p) {
  const MatmulOptions& o = call.options;
  const bool float8 = is_float8(call.a.dtype);
  const bool swiglu = o.swiglu != nullptr || o.before_swiglu != nullptr;
  if (call.a.numel() == 0 || swiglu || rounds_twice(call)) return {};
  if (float8 ? side_of(o) != nullptr : side_of_gelu(o) != nullptr && call.c.dtype == DType::f32) return {};
  if (call.a.dtype != call.b.dtype && !float8) return {};
  p = describe(call, tf32);
  const std::vector<cublasLtMatmulAlgo_t> all = candidates(call, p);
  if (float8 && all.empty())
    throw DeviceError(cat(blas_name(), " has no product of 8-bit floats for c ", call.c.str(), ", a ", call.a.str(),
                          ", b ", call.b.str(),
                          " on this GPU; leave out precision.linear_dtype=float8, which wants "
                          "compute capability 8.9 or newer"));
  if (all.empty() && flops_of(call) >= kTunedFlops)
    log_warn(cat(blas_name(), " has no product for c ", call.c.str(), ", a ", call.a.str(), ", b ", call.b.str(),
                 " on this GPU: it will be slow",
                 call.a.dtype == DType::bf16 && call.context.capability_major() < kFirstWithBf16
                     ? "; precision.param_dtype=float16 is fast here"
                     : ""));
  return all;
}

/// The way that is fastest, where the product is large enough to be tried and bits may depend on it.
Prepared prepare(Ctx& ctx, const Call& call, const ProductKey& key) {
  MatmulState& state = state_of(call.context);
  const bool tries = flops_of(call) >= kTunedFlops && !ctx.deterministic;
  const bool fuses = fits_fused(call.c, call.a, call.b, call.options, call.workspace) && has_fused(call.context);
  Prepared p;
  p.way = Way::fused;
  if (fuses && !tries) return p;
  const std::vector<cublasLtMatmulAlgo_t> all = ask_library(call, state.tf32, p);
  const bool chooses = tries && (fuses || !all.empty());
  const std::string name = text_of(key);
  if (chooses && recall(state.tuning, name, call, fuses, p)) return p;
  p.way = !all.empty() ? Way::library : side_of(call.options) != nullptr ? Way::apart : Way::plain;
  if (!all.empty()) p.algorithm = all[0];
  if (!chooses) return p;
  const Trial trial(call);
  if (!trial.possible()) return p;
  if (!all.empty()) tune(ctx, trial.call, all, p);
  const auto fused = [&] { fused_matmul(ctx, call.c, call.a, call.b, trial.call.options, call.workspace); };
  if (fuses && is_faster(call.context, fused, [&] { carry_out(ctx, trial.call, p); })) p.way = Way::fused;
  state.tuning.set(name, text_of(p));
  return p;
}

}  // namespace

void matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o,
            const Tensor& workspace) {
  MatmulState& state = state_of(*ctx.cuda);
  const Call call{*ctx.cuda, c, a, b, o, workspace};
  if (takes_few_rows(c, a, b, o)) {
    if (o.times_gelu_of != nullptr) return matmul_apart(ctx, call);
    return few_rows_matmul(ctx, c, a, b, o);
  }
  if (o.residual != nullptr && o.bias != nullptr) return matmul_apart(ctx, call);
  const ProductKey key = key_of(call, state.tf32);
  auto found = state.prepared.find(key);
  if (found == state.prepared.end()) found = state.prepared.emplace(key, prepare(ctx, call, key)).first;
  carry_out(ctx, call, found->second);
}

void set_tf32(CudaContext& context, bool on) { state_of(context).tf32 = on && context.capability_major() >= 8; }

std::string blas_name() {
  const size_t v = cublasLtGetVersion();
  return cat("cuBLASLt ", v / 10000, ".", v / 100 % 100, ".", v % 100);
}

}  // namespace trireme::cuda
