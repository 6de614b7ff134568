#include "ops/cuda/matmul.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <map>
#include <optional>
#include <span>

#include "base/log.h"
#include "ops/cuda/activation.h"
#include "ops/cuda/basic.h"
#include "ops/cuda/blas_product.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/gated_product.h"
#include "ops/cuda/matmul_tuning.h"
#include "ops/cuda/plain_matmul.h"
#include "ops/tuning_file.h"

namespace trireme::cuda {
namespace {

constexpr double kTunedFlops = 1e9;  // of smaller products the likeliest candidate is taken: noise would choose
constexpr float kClearlyFaster = 0.98F;

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
      : tuning(tuning_path(context), cat(cuda_device_name(context.index()), ", ", blas_name())) {}
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
bool recall(const TuningFile& tuning, const std::string& key, const Call& call, Prepared& p) {
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
  const bool gated = call.options.swiglu != nullptr || call.options.before_swiglu != nullptr;
  if (way == static_cast<int>(Way::apart) || way == static_cast<int>(Way::gated)) {
    p.way = static_cast<Way>(way);
    return gated || (p.way == Way::apart && side_of_gelu(call.options) != nullptr);
  }
  if (gated) return false;
  std::memcpy(&p.algorithm, words.data(), sizeof p.algorithm);
  return way == static_cast<int>(Way::library) && is_usable(call, p, p.algorithm);
}

/// Product and activation one after the other.
void matmul_apart(Ctx& ctx, const Call& call) {
  const MatmulOptions& o = call.options;
  MatmulOptions product = o;
  product.before_gelu = product.times_gelu_of = product.swiglu = product.before_swiglu = product.residual = nullptr;
  matmul(ctx, o.before_gelu != nullptr ? *o.before_gelu : call.c, call.a, call.b, product, call.workspace);
  if (o.residual != nullptr)
    add(ctx, call.c, *o.residual, call.c);
  else if (o.before_gelu != nullptr)
    gelu_forward(ctx, call.c, *o.before_gelu);
  else if (o.times_gelu_of != nullptr)
    gelu_backward(ctx, call.c, call.c, *o.times_gelu_of);
  else if (o.swiglu != nullptr)
    swiglu_forward(ctx, *o.swiglu, call.c);
  else
    swiglu_backward(ctx, *o.before_swiglu, call.c, *o.before_swiglu, {});
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
  const auto product = [&] { run(call, p, p.algorithm, call.c.data); };
  const float together = milliseconds(*ctx.cuda, product);
  const float apart = milliseconds(*ctx.cuda, [&] { matmul_apart(ctx, call); });
  if (apart < kClearlyFaster * together) p.way = Way::apart;
}

/// A product and SwiGLU, forward or backward: by a kernel of our own where there is one for it, or one after the other.
Prepared prepare_gated(Ctx& ctx, const Call& call, const ProductKey& key) {
  Prepared p;
  p.way = fits_gated(call.c, call.a, call.b, call.options) && has_gated(call.context) ? Way::gated : Way::apart;
  const double flops = 2.0 * static_cast<double>(call.a.numel()) * static_cast<double>(call.c.size(1));
  if (p.way == Way::apart || flops < kTunedFlops || ctx.deterministic) return p;
  MatmulState& state = state_of(call.context);
  const std::string name = text_of(key);
  if (recall(state.tuning, name, call, p)) return p;
  MatmulOptions trial = call.options;
  std::optional<CopyOf> copy;
  Tensor gate_up;
  if (trial.before_swiglu != nullptr) {  // which a trial changes
    gate_up = *trial.before_swiglu;
    gate_up.data = copy.emplace(gate_up, call.context.stream()).data();
    trial.before_swiglu = &gate_up;
  }
  const Call alike{call.context, call.c, call.a, call.b, trial, call.workspace};
  const bool room = trial.before_swiglu == nullptr || gate_up.data != nullptr;
  const auto together = [&] { gated_matmul(ctx, call.c, call.a, call.b, trial); };
  const bool faster = room && is_faster(call.context, together, [&] { matmul_apart(ctx, alike); });
  p.way = faster ? Way::gated : Way::apart;
  state.tuning.set(name, text_of(p));
  return p;
}

Prepared prepare(Ctx& ctx, const Call& call, const ProductKey& key) {
  if (call.options.swiglu != nullptr || call.options.before_swiglu != nullptr) return prepare_gated(ctx, call, key);
  MatmulState& state = state_of(*ctx.cuda);
  const bool has_gelu = side_of_gelu(call.options) != nullptr;
  const bool fuses = (!has_gelu || call.c.dtype != DType::f32) && !rounds_twice(call);
  Prepared p;
  std::vector<cublasLtMatmulAlgo_t> all;
  const bool float8 = is_float8(call.a.dtype);
  if (call.a.numel() > 0 && (call.a.dtype == call.b.dtype || float8) && fuses) {
    p = describe(call, state.tf32);
    all = candidates(call, p);
  }
  if (float8 && all.empty())
    throw DeviceError(cat(blas_name(), " has no product of 8-bit floats for c ", call.c.str(), ", a ", call.a.str(),
                          ", b ", call.b.str(),
                          " on this GPU; leave out precision.linear_dtype=float8, which wants "
                          "compute capability 8.9 or newer"));
  p.way = all.empty() ? has_gelu || call.options.residual != nullptr ? Way::apart : Way::plain : Way::library;
  if (all.empty()) return p;
  p.algorithm = all[0];
  const double flops = 2.0 * static_cast<double>(call.a.numel()) * static_cast<double>(call.c.size(1));
  if (flops < kTunedFlops || ctx.deterministic) return p;
  const std::string name = text_of(key);
  if (recall(state.tuning, name, call, p)) return p;
  p.way = Way::library;
  tune(ctx, call, all, p);
  state.tuning.set(name, text_of(p));
  return p;
}

}  // namespace

void matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o,
            const Tensor& workspace) {
  MatmulState& state = state_of(*ctx.cuda);
  const Call call{*ctx.cuda, c, a, b, o, workspace};
  if (o.before_swiglu == nullptr && takes_few_rows(c, a, b, o)) {
    if (side_of_gelu(o) != nullptr || o.residual != nullptr) return matmul_apart(ctx, call);
    return few_rows_matmul(ctx, c, a, b, o);
  }
  const ProductKey key = key_of(call, state.tf32);
  auto found = state.prepared.find(key);
  if (found == state.prepared.end()) found = state.prepared.emplace(key, prepare(ctx, call, key)).first;
  const Prepared& p = found->second;
  if (p.way == Way::plain) return plain_matmul(ctx, c, a, b, o);
  if (p.way == Way::apart) return matmul_apart(ctx, call);
  if (p.way == Way::gated) return gated_matmul(ctx, c, a, b, o);
  check_blas(run(call, p, p.algorithm, c.data), "cublasLtMatmul");
}

void set_tf32(CudaContext& context, bool on) { state_of(context).tf32 = on; }

std::string blas_name() {
  const size_t v = cublasLtGetVersion();
  return cat("cuBLASLt ", v / 10000, ".", v / 100 % 100, ".", v % 100);
}

}  // namespace trireme::cuda
