// One kind of product as cuBLASLt knows it: descriptors, candidates, a call.
//
// cuBLASLt sees our row-major c = a . b as the column-major c^T = b^T . a^T: its first operand is our b, its second our
// a, and a bias along our columns is one along its rows, as its epilogue wants it.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "device/cuda/context.h"
#include "ops/matmul.h"

namespace trireme::cuda {

/// DeviceError with the call and cuBLASLt's own words, unless `status` is success.
void check_blas(cublasStatus_t status, const char* call);

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

/// How a product is computed: by one of cuBLASLt's algorithms; product and activation one after the other; by
/// plain_matmul, where cuBLASLt has nothing for it; by fused_matmul, with its activation.
enum class Way { library, apart, plain, fused };

struct Prepared {
  OperationDescriptor operation;
  MatrixLayout a, b, c, residual;
  cublasLtMatmulAlgo_t algorithm{};
  Way way = Way::library;
};

/// The tensors and numbers of one call. cuBLASLt reads alpha and beta when it is called.
struct Call {
  CudaContext& context;
  const Tensor &c, &a, &b;
  const MatmulOptions& options;
  const Tensor& workspace;
};

/// Everything that decides which algorithm is fastest.
using ProductKey = std::array<int64_t, 17>;
ProductKey key_of(const Call& call, bool tf32);

/// The other side of a GELU that goes along, or nullptr.
const Tensor* side_of_gelu(const MatmulOptions& options);

/// Descriptors of the product, without an algorithm.
Prepared describe(const Call& call, bool tf32);

/// cuBLASLt's candidates, the likeliest first; none where it cannot do this product.
std::vector<cublasLtMatmulAlgo_t> candidates(const Call& call, const Prepared& p);

/// Whether cuBLASLt, as it is now, takes `algorithm` for this product and its workspace.
bool is_usable(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm);

/// Asks for the product by `algorithm`, into `c` in place of the call's own.
cublasStatus_t run(const Call& call, const Prepared& p, const cublasLtMatmulAlgo_t& algorithm, void* c);

/// 16-bit products that cuBLASLt rounds before it adds a bias: ours are rounded once.
bool rounds_twice(const Call& call);

}  // namespace trireme::cuda
