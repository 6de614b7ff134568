// Rows of logits: the statistics of a softmax, with a running maximum, and the gradient of its cross-entropy.
#pragma once

#include "ops/cuda/fast_math.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/walk.cuh"

namespace trireme::cuda {

__device__ inline constexpr float minus_infinity() { return -INFINITY; }

/// What a logit x has to be moved by, so that e^(x - shift) is 2^(x log2(e) + offset): one multiply-add and one
/// exponential. A row (or slice) of -inf counts nothing: its terms are e^(-inf - 0), and not e^(-inf + inf).
__device__ inline float offset_of(float shift) { return shift == minus_infinity() ? 0.0F : -shift * kLog2E; }

__device__ inline float exp_of(float logit, float offset) { return fast_exp2(fmaf(logit, kLog2E, offset)); }

template <int V>
__device__ inline float sum_of_exp(const float (&x)[V], float offset) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < V; ++i) sum += exp_of(x[i], offset);
  return sum;
}

/// The larger elements of two words each, NaNs overlooked.
template <class T>
__device__ inline uint32_t larger_of(uint32_t a, uint32_t b) {
  if constexpr (std::is_same_v<T, float>) {
    return __float_as_uint(fmaxf(__uint_as_float(a), __uint_as_float(b)));
  } else {
    using Two = std::conditional_t<std::is_same_v<T, Bf16>, __nv_bfloat162, __half2>;
    const Two larger = __hmax2(reinterpret_cast<const Two&>(a), reinterpret_cast<const Two&>(b));
    return reinterpret_cast<const uint32_t&>(larger);
  }
}

struct Stats {
  float max = minus_infinity();
  float sum = 0;
};

/// Adds V logits. NaNs may be overlooked by the maximum: the sum of exponentials still carries them.
template <int V>
__device__ inline void add_logits(Stats& s, const float (&x)[V]) {
  float max = x[0];
#pragma unroll
  for (int i = 1; i < V; ++i) max = fmaxf(max, x[i]);
  if (max > s.max) {
    s.sum *= fast_exp2((s.max - max) * kLog2E);
    s.max = max;
  }
  s.sum += sum_of_exp(x, offset_of(s.max));
}

/// The statistics of a warp's slices together, in every lane.
__device__ inline Stats reduce_stats(const Stats& own) {
  const float max = reduce_lanes(own.max, kWarp, Maximum()), shift = max == minus_infinity() ? 0.0F : max;
  return {max, reduce_lanes(own.sum * fast_exp2((own.max - shift) * kLog2E))};
}

/// Each lane's of `count` that lie there, up to a warp's.
__device__ inline Stats stats_at(const float2* all, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return lane < count ? Stats{all[lane].x, all[lane].y} : Stats{};
}

/// Of a whole row, in every thread of a block of `threads`.
template <int kAtOnce, class T>
__device__ inline Stats row_stats(const T* x, int64_t n, int threads) {
  __shared__ float2 of_warps[kWarp];
  Stats own;
  walk<false, kAtOnce>(x, n, threadIdx.x, threads, [&](const auto& values, int64_t) { add_logits(own, values); });
  own = reduce_stats(own);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = {own.max, own.sum};
  __syncthreads();
  return reduce_stats(stats_at(of_warps, threads / kWarp));
}

/// How the logits of a row become their gradient: its log-sum-exp, what its loss counts for and its target, which may
/// lie elsewhere.
struct LogitGradient {
  float offset, factor;
  int64_t target;

  __device__ LogitGradient(float lse, float row_factor, int64_t row_target)
      : offset(-lse * kLog2E), factor(row_factor), target(row_target) {}

  /// factor * exp(logit - lse), that of a target not yet less by the factor. Nothing of an ignored row counts, not even
  /// a NaN.
  template <int V>
  __device__ void scale(float (&values)[V]) const {
    if (factor == 0) {
#pragma unroll
      for (int i = 0; i < V; ++i) values[i] = 0;
      return;
    }
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = exp_of(values[i], offset) * factor;
  }

  /// Logits from column c on become factor * (exp(logit - lse) - [column is the target]).
  template <int V>
  __device__ void apply(float (&values)[V], int64_t c) const {
    scale(values);
    if (target < c || target >= c + V) return;
#pragma unroll
    for (int i = 0; i < V; ++i)
      if (c + i == target) values[i] -= factor;
  }
};

/// In place in a whole row.
template <int kAtOnce, class T>
__device__ inline void write_gradient(T* x, int64_t n, int threads, const LogitGradient& gradient) {
  walk<true, kAtOnce>(x, n, threadIdx.x, threads, [&](auto& values, int64_t c) { gradient.apply(values, c); });
}

}  // namespace trireme::cuda
