// AdamW in one pass over memory, with the CPU's arithmetic operation for operation: both give the same bits. One launch
// takes as many slices as fit into a kernel's arguments; its blocks are dealt to them in order.
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
constexpr int kPack = 4;
constexpr int64_t kBlockElements = kThreads * kAtOnce * kPack;
constexpr int kMaxSlices = 56;  // arguments may take 4 KiB

struct Slice {
  float *master, *m, *v;
  const float* grad;
  void* param;  // null: the master is the parameter
  int64_t n;
  float decay;
  int32_t first_block;
  bool packs;  // everything lies at addresses that packs need
};

struct AdamW {
  Slice slices[kMaxSlices];
  int count;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, grad_scale, step, inverse_root2, eps;
};
static_assert(sizeof(AdamW) <= 4096);

__device__ void update(const AdamW& a, float decay, float& master, float& m, float& v, float grad) {
  const float g = grad * a.grad_scale;
  m = __fmaf_rn(m, a.beta1, __fmul_rn(g, a.one_minus_beta1));
  v = __fmaf_rn(v, a.beta2, __fmul_rn(__fmul_rn(g, g), a.one_minus_beta2));
  const float denominator = __fmaf_rn(__fsqrt_rn(v), a.inverse_root2, a.eps);
  master = __fmaf_rn(master, decay, -__fdiv_rn(__fmul_rn(m, a.step), denominator));
}

template <class T>
__device__ void update_one(const AdamW& a, const Slice& s, int64_t i) {
  update(a, s.decay, s.master[i], s.m[i], s.v[i], s.grad[i]);
  if (s.param != nullptr) static_cast<T*>(s.param)[i] = from_f32<T>(s.master[i]);
}

/// The packs of [begin, end) of a slice: all loads of a thread before its first store.
template <class T>
__device__ void update_packs(const AdamW& a, const Slice& s, int64_t begin, int64_t end) {
  using Floats = Pack<float, kPack>;
  Floats raw[kAtOnce][4];
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = begin + (u * kThreads + static_cast<int>(threadIdx.x)) * kPack;
    if (i >= end) break;
    raw[u][0] = *reinterpret_cast<const Floats*>(s.master + i);
    raw[u][1] = *reinterpret_cast<const Floats*>(s.m + i);
    raw[u][2] = *reinterpret_cast<const Floats*>(s.v + i);
    raw[u][3] = *reinterpret_cast<const Floats*>(s.grad + i);
  }
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = begin + (u * kThreads + static_cast<int>(threadIdx.x)) * kPack;
    if (i >= end) break;
    float state[4][kPack];
#pragma unroll
    for (int k = 0; k < 4; ++k) unpack(raw[u][k], state[k]);
#pragma unroll
    for (int j = 0; j < kPack; ++j) update(a, s.decay, state[0][j], state[1][j], state[2][j], state[3][j]);
    *reinterpret_cast<Floats*>(s.master + i) = pack<float>(state[0]);
    *reinterpret_cast<Floats*>(s.m + i) = pack<float>(state[1]);
    *reinterpret_cast<Floats*>(s.v + i) = pack<float>(state[2]);
    if (s.param != nullptr) *reinterpret_cast<Pack<T, kPack>*>(static_cast<T*>(s.param) + i) = pack<T>(state[0]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) adamw_kernel(const __grid_constant__ AdamW a) {
  int low = 0, high = a.count - 1;  // the last slice that begins at or before this block
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (a.slices[middle].first_block <= static_cast<int>(blockIdx.x))
      low = middle;
    else
      high = middle - 1;
  }
  const Slice& s = a.slices[low];
  const int64_t begin = (static_cast<int>(blockIdx.x) - s.first_block) * kBlockElements;
  const int64_t end = min(begin + kBlockElements, s.n);
  const int64_t whole = s.packs ? end - (end - begin) % kPack : begin;
  update_packs<T>(a, s, begin, whole);
  for (int64_t i = whole + threadIdx.x; i < end; i += kThreads) update_one<T>(a, s, i);
}

bool aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(kPack * dtype_size(t.dtype)) == 0;
}

AdamW coefficients(const AdamWArgs& args) {
  // lr / bc1 and 1 / sqrt(bc2) are formed in double: they scale every update.
  return {.count = 0,
          .beta1 = args.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(args.beta1)),
          .beta2 = args.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(args.beta2)),
          .grad_scale = args.grad_scale,
          .step = static_cast<float>(static_cast<double>(args.lr) / static_cast<double>(args.bias_correction1)),
          .inverse_root2 = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.bias_correction2))),
          .eps = args.eps};
}

}  // namespace

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  AdamW a = coefficients(args);
  int64_t blocks = 0;
  const auto launch = [&] {
    if (blocks > 0)
      with_type(slices[0].param.defined() ? slices[0].param.dtype : DType::f32,
                [&]<class T>(Type<T>) { adamw_kernel<T><<<narrow<int>(blocks), kThreads, 0, stream_of(ctx)>>>(a); });
    check_launch("adamw_update");
    a.count = 0;
    blocks = 0;
  };
  for (const AdamWSlice& s : slices) {
    const int64_t n = s.master.numel();
    if (n == 0) continue;
    if (a.count == kMaxSlices) launch();
    a.slices[a.count++] = {
        .master = s.master.f32(),
        .m = s.m.f32(),
        .v = s.v.f32(),
        .grad = s.grad.f32(),
        .param = s.param.data,
        .n = n,
        .decay = static_cast<float>(1.0 - static_cast<double>(args.lr) * static_cast<double>(s.weight_decay)),
        .first_block = narrow<int32_t>(blocks),
        .packs = aligned(s.master) && aligned(s.m) && aligned(s.v) && aligned(s.grad) && aligned(s.param)};
    blocks += ceil_div(n, kBlockElements);
  }
  launch();
}

}  // namespace trireme::cuda
