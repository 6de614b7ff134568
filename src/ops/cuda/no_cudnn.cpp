// The stand-in where cuDNN is not built in: our own kernels take all calls.
#include "ops/cuda/cudnn_attention.h"

namespace trireme::cuda {

bool cudnn_attention_forward(Ctx&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                             const AttentionArgs&, const Tensor&) {
  return false;
}
bool cudnn_attention_backward(Ctx&, const AttentionGradients&, const Tensor&, const AttentionArgs&, const Tensor&) {
  return false;
}
int64_t cudnn_attention_graphs(CudaContext&) { return 0; }

}  // namespace trireme::cuda
