#include "ops/cuda/blas_product.h"

#include <algorithm>

#include "ops/beside_product.h"

namespace trireme::cuda {
namespace {

constexpr int kCandidates = 16;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    case DType::e4m3: return CUDA_R_8F_E4M3;
    case DType::e5m2: return CUDA_R_8F_E5M2;
    default: return CUDA_R_32F;
  }
}

/// Rows of a matrix, as stored, and elements from one to the next.
int64_t pitch(const Tensor& t) { return t.size(0) > 1 ? t.stride(0) : t.size(1); }

/// Largest power of two, up to 256, that divides the address.
uint32_t alignment(const Tensor& t) {
  const auto address = reinterpret_cast<uintptr_t>(t.data);
  return static_cast<uint32_t>(std::min<uintptr_t>(address & (~address + 1), 256));
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

/// Whether rows begin at multiples of 16 bytes.
bool is_packed(const Tensor& t) { return alignment(t) >= 16 && pitch(t) * dtype_size(t.dtype) % 16 == 0; }

/// What the product is added to, if to anything.
const Tensor& added_to(const Call& call) { return call.options.residual != nullptr ? *call.options.residual : call.c; }
cublasLtMatrixLayout_t added_to(const Prepared& p) {
  return p.residual.handle != nullptr ? p.residual.handle : p.c.handle;
}

/// The pointers that belong to a call and lie in the descriptor.
void set_pointers(const Prepared& p, const MatmulOptions& o) {
  if (o.bias != nullptr) set(p.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias->data);
  if (const Tensor* side = side_of_gelu(o); side != nullptr)
    set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, side->data);
  if (o.a_scale == nullptr) return;
  set(p.operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, o.b_scale->data);
  set(p.operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, o.a_scale->data);
}

}  // namespace

void check_blas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(cat(call, ": ", cublasLtGetStatusString(status)));
}

const Tensor* side_of_gelu(const MatmulOptions& o) {
  return o.before_gelu != nullptr ? o.before_gelu : o.times_gelu_of;
}

ProductKey key_of(const Call& call, bool tf32) {
  const auto& [context, c, a, b, o, workspace] = call;
  const Tensor* side = side_of(o);
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
              32 * (o.before_gelu != nullptr) + 64 * (o.times_gelu_of != nullptr) + 128 * (o.swiglu != nullptr) +
              256 * (o.before_swiglu != nullptr) + 512 * (o.residual != nullptr) + 1024 * (o.bias_gradient != nullptr),
          o.bias == nullptr ? 0 : static_cast<int64_t>(o.bias->dtype),
          alignment(a),
          alignment(b),
          alignment(c),
          o.bias == nullptr ? 0 : alignment(*o.bias),
          side == nullptr ? 0 : pitch(*side),
          side == nullptr ? 0 : alignment(*side)};
}

Prepared describe(const Call& call, bool tf32) {
  const MatmulOptions& o = call.options;
  Prepared p;
  const bool rounds_operands = tf32 && call.a.dtype == DType::f32;
  check_blas(cublasLtMatmulDescCreate(&p.operation.handle,
                                      rounds_operands ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "cublasLtMatmulDescCreate");
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
  // Fewer bits on the way do for what is rounded to bf16; gradients of parameters are summed as exactly as can be.
  if (is_float8(call.a.dtype) && call.c.dtype != DType::f32)
    set(p.operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
  set_pointers(p, o);
  p.a = layout_of(call.a);
  p.b = layout_of(call.b);
  p.c = layout_of(call.c);
  if (o.residual != nullptr) p.residual = layout_of(*o.residual);
  return p;
}

std::vector<cublasLtMatmulAlgo_t> candidates(const Call& call, const Prepared& p) {
  Preference preference;
  check_blas(cublasLtMatmulPreferenceCreate(&preference.handle), "cublasLtMatmulPreferenceCreate");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(call.workspace.bytes()));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(call.b));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(call.a));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(added_to(call)));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(call.c));
  // Parts of a sum over k are added in f32, never in the type of a 16-bit result.
  if (call.c.dtype != DType::f32)
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(call.context.blas(), p.operation.handle, p.b.handle, p.a.handle, added_to(p),
                                     p.c.handle, preference.handle, kCandidates, results.data(), &found);
  std::vector<cublasLtMatmulAlgo_t> out;
  if (status != CUBLAS_STATUS_SUCCESS) return out;
  for (int i = 0; i < found; ++i)
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      out.push_back(results[static_cast<size_t>(i)].algo);
  return out;
}

bool is_usable(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm) {
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = cublasLtMatmulAlgoCheck(call.context.blas(), p.operation.handle, p.b.handle, p.a.handle,
                                                        added_to(p), p.c.handle, &algorithm, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.state == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= static_cast<size_t>(call.workspace.bytes());
}

cublasStatus_t run(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm, void* c) {
  set_pointers(p, call.options);
  const Tensor* residual = call.options.residual;
  const float alpha = call.options.alpha, beta = call.options.accumulate || residual != nullptr ? 1 : 0;
  return cublasLtMatmul(call.context.blas(), p.operation.handle, &alpha, call.b.data, p.b.handle, call.a.data,
                        p.a.handle, &beta, residual != nullptr ? residual->data : c, added_to(p), c, p.c.handle,
                        &algorithm, call.workspace.data, static_cast<size_t>(call.workspace.bytes()),
                        call.context.stream());
}

/// Seen of cuBLASLt 13: a 16-bit product is rounded before the bias is added to it where rows are not packed; and
/// always before the old c is, which may be.
bool rounds_twice(const Call& call) {
  const bool packed = is_packed(call.a) && is_packed(call.b) && is_packed(call.c);
  return call.c.dtype != DType::f32 && !packed &&
         (call.options.bias != nullptr || side_of_gelu(call.options) != nullptr);
}

}  // namespace trireme::cuda
