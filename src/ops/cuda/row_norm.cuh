// The norm of a row that a block has to itself, in front of what the block computes of it. The sums are those of
// norm_forward.cu for few rows, in their order, so that the bits are the same.
#pragma once

#include "ops/cuda/norm.cuh"
#include "ops/norm.h"

namespace trireme::cuda {

struct RowNorm {
  const char *weight = nullptr, *bias = nullptr;  // weight null: no norm; bias null: RMSNorm
  float eps = 0;
  int group = 0;  // threads that a row has in norm_forward.cu

  RowNorm() = default;
  RowNorm(const NormArgs& n, int64_t row_packs)
      : weight(n.weight.as<char>()),
        bias(n.bias.defined() ? n.bias.as<char>() : nullptr),
        eps(n.eps),
        group(norm_shape(row_packs, 1, kMaxGroup).group) {}
};

/// Whether a norm of rows of `row_packs` is what norm_forward() would compute in packs.
inline bool takes_row_norm(const NormArgs& n, DType dtype, int64_t row_packs) {
  const auto fits = [&](const Tensor& t) { return !t.defined() || same_packs(Rows(t), dtype); };
  return fits(n.weight) && fits(n.bias) && norm_shape(row_packs, 1, kMaxGroup).packs > 0;
}

/// A thread's first packs of weight and bias, which can be asked for before the rows are there.
template <int kThreads>
struct RowNormAhead {
  static constexpr int kPacks = 2;
  uint4 weight[kPacks] = {}, bias[kPacks] = {};

  __device__ void fetch(const RowNorm& norm, int packs) {
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      const int i = static_cast<int>(threadIdx.x) + u * kThreads;
      if (i >= packs) continue;
      weight[u] = reinterpret_cast<const uint4*>(norm.weight)[i];
      if (norm.bias != nullptr) bias[u] = reinterpret_cast<const uint4*>(norm.bias)[i];
    }
  }
};

/// slots[w]: the sum that warp w of the row's group would have, of add(sum, element) over its lanes' packs.
template <class T, int kThreads, class Add>
__device__ void sum_as_group(float* slots, const uint4* row, int packs, int group, Add add) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int w = static_cast<int>(threadIdx.x) / kWarp; w * kWarp < group; w += kThreads / kWarp) {
    float sum = 0;
    for (int i = w * kWarp + lane; i < packs; i += group) {
      float x[kWidth<T>];
      unpack(reinterpret_cast<const Pack<T, kWidth<T>>*>(row)[i], x);
#pragma unroll
      for (const float v : x) sum = add(sum, v);
    }
    sum = reduce_lanes(sum);
    if (lane == 0) slots[w] = sum;
  }
}

__device__ inline float total_of_group(const float* slots, int group) {
  float sum = slots[0];
  for (int w = 1; w * kWarp < group; ++w) sum += slots[w];
  return sum;
}

/// Norms the row in place. The block has synchronised since it came, and has when this returns.
template <class T, int kThreads>
__device__ void norm_row(uint4* row, int packs, const RowNorm& norm, const RowNormAhead<kThreads>& ahead) {
  constexpr int V = kWidth<T>, kAhead = RowNormAhead<kThreads>::kPacks;
  __shared__ float slots[2][kMaxGroup / kWarp];
  const auto channels = static_cast<float>(packs * V);
  float mean = 0;
  if (norm.bias != nullptr) {
    sum_as_group<T, kThreads>(slots[0], row, packs, norm.group, [](float sum, float x) { return sum + x; });
    __syncthreads();
    mean = total_of_group(slots[0], norm.group) / channels;
  }
  sum_as_group<T, kThreads>(slots[1], row, packs, norm.group,
                            [=](float sum, float x) { return fmaf(x - mean, x - mean, sum); });
  __syncthreads();
  const float rstd = 1.0F / sqrtf(total_of_group(slots[1], norm.group) / channels + norm.eps);

  const auto apply = [&](int i, const uint4& weight, const uint4& bias) {
    float x[V], w[V], b[V];
    auto& at = reinterpret_cast<Pack<T, V>&>(row[i]);
    unpack(at, x);
    unpack(reinterpret_cast<const Pack<T, V>&>(weight), w);
    unpack(reinterpret_cast<const Pack<T, V>&>(bias), b);
#pragma unroll
    for (int k = 0; k < V; ++k) x[k] = fmaf((x[k] - mean) * rstd, w[k], b[k]);
    at = pack<T>(x);
  };
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int u = 0; u < kAhead; ++u)
    if (thread + u * kThreads < packs) apply(thread + u * kThreads, ahead.weight[u], ahead.bias[u]);
  for (int i = thread + kAhead * kThreads; i < packs; i += kThreads)
    apply(i, reinterpret_cast<const uint4*>(norm.weight)[i],
          norm.bias != nullptr ? reinterpret_cast<const uint4*>(norm.bias)[i] : uint4{});
  __syncthreads();
}

}  // namespace trireme::cuda
