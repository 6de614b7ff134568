// The stand-in for the kernels of ops/cuda where CUDA is not built in. Nothing can reach them: device/no_cuda.cpp lets
// no tensor be on a GPU. Plans for a GPU still work, so what they ask of sizes is answered.
#include "base/error.h"
#include "ops/cuda/activation.h"
#include "ops/cuda/attention.h"
#include "ops/cuda/basic.h"
#include "ops/cuda/cudnn_attention.h"
#include "ops/cuda/decode_attention.h"
#include "ops/cuda/embedding.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/float8.h"
#include "ops/cuda/fused_product.h"
#include "ops/cuda/likeliest.h"
#include "ops/cuda/linear_cross_entropy.h"
#include "ops/cuda/loss.h"
#include "ops/cuda/matmul.h"
#include "ops/cuda/norm.h"
#include "ops/cuda/optim.h"
#include "ops/cuda/rope.h"
#include "ops/cuda/sum_rows.h"

namespace trireme::cuda {
namespace {
[[noreturn]] void fail() { throw DeviceError("this trireme was built without CUDA"); }
}  // namespace

void gelu_forward(Ctx&, const Measured&, const Tensor&) { fail(); }
void gelu_backward(Ctx&, const Measured&, const Tensor&, const Tensor&) { fail(); }
void swiglu_forward(Ctx&, const Measured&, const Tensor&) { fail(); }
void swiglu_backward(Ctx&, const Measured&, const Tensor&, const Tensor&, const Tensor&) { fail(); }

void attention_forward(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                       const AttentionArgs&, const Tensor&) {
  fail();
}
void attention_backward(Ctx&, const AttentionGradients&, const AttentionArgs&, const Tensor&) { fail(); }

int64_t cudnn_attention_graphs(CudaContext&) { fail(); }

void decode_attention(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const KvView&,
                      const DecodeArgs&, const Tensor&) {
  fail();
}

void likeliest(Ctx&, const Tensor&, const Tensor&, const Tensor&) { fail(); }

void fill(Ctx&, const Tensor&, float) { fail(); }
void copy(Ctx&, const Tensor&, const Tensor&) { fail(); }
void add(Ctx&, const Tensor&, const Tensor&, const Tensor&) { fail(); }
void scale(Ctx&, const Tensor&, float) { fail(); }
void dropout(Ctx&, const Tensor&, const Tensor&, const DropoutArgs&) { fail(); }
void sum_squares(Ctx&, const Tensor&, const Tensor&, std::span<const Tensor>) { fail(); }
void find_nonfinite(Ctx&, const Tensor&, const Tensor&) { fail(); }

void find_largest(Ctx&, const Tensor&, const Tensor&) { fail(); }
void quantize(Ctx&, const Float8&, const Tensor&, const Tensor&) { fail(); }

void embedding_forward(Ctx&, const Tensor&, const Tensor&, const Tensor&, int64_t, bool) { fail(); }
void embedding_backward(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t) { fail(); }

void cross_entropy_stats(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t) {
  fail();
}
void cross_entropy_rescale(Ctx&, const Tensor&, const Tensor&, const Tensor&) { fail(); }
void cross_entropy_loss(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) { fail(); }
void cross_entropy_backward(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, float, int64_t) {
  fail();
}
void cross_entropy(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, float) { fail(); }
void weighted_sum(Ctx&, const Tensor&, const Tensor&, const Tensor&) { fail(); }

bool has_linear_cross_entropy(const CudaContext&, const LinearCrossEntropy&) { fail(); }
void linear_cross_entropy(Ctx&, const LinearCrossEntropy&, const CrossEntropyParts&) { fail(); }
void scale_rows(Ctx&, const Tensor&, const Tensor&, const Tensor&) { fail(); }

void matmul(Ctx&, const Tensor&, const Tensor&, const Tensor&, const MatmulOptions&, const Tensor&) { fail(); }
bool takes_few_rows(const Tensor&, const Tensor&, const Tensor&, const MatmulOptions&) { return false; }
bool has_fused(const CudaContext&) { return false; }
void set_tf32(CudaContext&, bool) { fail(); }
std::string blas_name() { fail(); }

void norm_forward(Ctx&, const NormForward&) { fail(); }
void norm_backward(Ctx&, const NormBackward&) { fail(); }

void adamw_update(Ctx&, std::span<const AdamWSlice>, const AdamWArgs&) { fail(); }
void clip_factor(Ctx&, const Tensor&, const Tensor&, const Tensor&, const ClipArgs&) { fail(); }

void rope(Ctx&, const Tensor&, const Tensor&, const Tensor&, bool) { fail(); }
void rope_with_sums(Ctx&, const Tensor&, const Tensor&, const Tensor&, bool, const Tensor&, const Tensor&) { fail(); }

void sum_rows(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) { fail(); }

}  // namespace trireme::cuda
