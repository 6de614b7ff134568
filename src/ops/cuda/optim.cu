// AdamW in one pass over memory, with the CPU's arithmetic operation for operation: both give the same bits.
#include "ops/cuda/optim.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 2;  // packs a thread

enum : int { kMaster, kM, kV, kGrad, kState };  // the gradient is only read

struct AdamW {
  Rows state[kState];  // f32
  Rows param;          // base null: the master is the parameter
  int64_t n;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, grad_scale, decay, step, inverse_root2, eps;
};

__device__ void update(const AdamW& a, float& master, float& m, float& v, float grad) {
  const float g = grad * a.grad_scale;
  m = __fmaf_rn(m, a.beta1, __fmul_rn(g, a.one_minus_beta1));
  v = __fmaf_rn(v, a.beta2, __fmul_rn(__fmul_rn(g, g), a.one_minus_beta2));
  const float denominator = __fmaf_rn(__fsqrt_rn(v), a.inverse_root2, a.eps);
  master = __fmaf_rn(master, a.decay, -__fdiv_rn(__fmul_rn(m, a.step), denominator));
}

/// S: how the state is moved, as T is for the parameter.
template <class S, class T, int V>
__global__ void __launch_bounds__(kThreads) adamw_kernel(const __grid_constant__ AdamW a) {
  const int64_t first = int64_t{blockIdx.x} * (kThreads * kAtOnce) + threadIdx.x;
  Pack<S, V> raw[kAtOnce][kState];
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = first + u * kThreads;
    if (i >= a.n / V) break;
#pragma unroll
    for (int k = 0; k < kState; ++k) raw[u][k] = load<S, V>(a.state[k], a.state[k].base, i * V);
  }
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = first + u * kThreads;
    if (i >= a.n / V) break;
    float state[kState][V];
#pragma unroll
    for (int k = 0; k < kState; ++k) unpack(raw[u][k], state[k]);
#pragma unroll
    for (int j = 0; j < V; ++j) update(a, state[kMaster][j], state[kM][j], state[kV][j], state[kGrad][j]);
#pragma unroll
    for (int k = 0; k < kGrad; ++k) store<S, V>(a.state[k], a.state[k].base, i * V, state[k]);
    if (a.param.base != nullptr) store<T, V>(a.param, a.param.base, i * V, state[kMaster]);
  }
}

template <class S, class T, int V>
void launch(const Ctx& ctx, const AdamW& a) {
  if (a.n < V) return;
  const auto blocks = narrow<int>(ceil_div(a.n / V, kThreads * kAtOnce));
  adamw_kernel<S, T, V><<<blocks, kThreads, 0, stream_of(ctx)>>>(a);
}

/// The part of `a` from element `begin` on.
AdamW from_element(AdamW a, int64_t begin) {
  for (Rows& r : a.state) r.base += begin * dtype_size(r.dtype);
  if (a.param.base != nullptr) a.param.base += begin * dtype_size(a.param.dtype);
  a.n -= begin;
  return a;
}

}  // namespace

void adamw_update(Ctx& ctx, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& param,
                  const Tensor& grad, const AdamWArgs& args) {
  // lr / bc1 and 1 / sqrt(bc2) are formed in double: they scale every update.
  AdamW a{.state = {Rows(master), Rows(m), Rows(v), Rows(grad)},
          .param = param.defined() ? Rows(param) : Rows(),
          .n = master.numel(),
          .beta1 = args.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(args.beta1)),
          .beta2 = args.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(args.beta2)),
          .grad_scale = args.grad_scale,
          .decay = static_cast<float>(1.0 - static_cast<double>(args.lr) * static_cast<double>(args.weight_decay)),
          .step = static_cast<float>(static_cast<double>(args.lr) / static_cast<double>(args.bias_correction1)),
          .inverse_root2 = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.bias_correction2))),
          .eps = args.eps};
  constexpr int kPack = 4;
  const auto aligned = [](const Rows& r) {
    return reinterpret_cast<uintptr_t>(r.base) % static_cast<uintptr_t>(kPack * dtype_size(r.dtype)) == 0;
  };
  const bool packs = aligned(a.param) && std::all_of(a.state, a.state + kState, aligned);
  const int64_t whole = packs ? a.n - a.n % kPack : 0;
  const AdamW rest = from_element(a, whole);
  a.n = whole;
  with_type(a.param.dtype, [&]<class T>(Type<T>) { launch<float, T, kPack>(ctx, a); });
  launch<Any, Any, 1>(ctx, rest);
  check_launch("adamw_update");
}

}  // namespace trireme::cuda
