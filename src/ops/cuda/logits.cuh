// Rows of logits: the statistics of a softmax, with a running maximum, and the gradient of its cross-entropy.
#pragma once

#include "ops/cuda/reduce.cuh"
#include "ops/cuda/walk.cuh"

namespace trireme::cuda {

__device__ inline constexpr float minus_infinity() { return -INFINITY; }

/// e^x by the processor's own exponential of 2, results below 2^-126 being 0 (__expf takes thrice the instructions to
/// keep those).
__device__ inline float fast_exp(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634F));
  return y;
}

struct Stats {
  float max = minus_infinity();
  float sum = 0;
};

/// Adds V logits. NaNs may be overlooked by the maximum: the sum of exponentials still carries them. A row (or slice)
/// of -inf adds nothing: its terms are exp(-inf - 0), and not exp(-inf + inf).
template <int V>
__device__ inline void add_logits(Stats& s, const float (&x)[V]) {
  float max = x[0];
#pragma unroll
  for (int i = 1; i < V; ++i) max = fmaxf(max, x[i]);
  if (max > s.max) {
    s.sum *= fast_exp(s.max - max);
    s.max = max;
  }
  const float shift = s.max == minus_infinity() ? 0.0F : s.max;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < V; ++i) sum += fast_exp(x[i] - shift);
  s.sum += sum;
}

/// The statistics of two disjoint slices together.
__device__ inline Stats both(const Stats& a, const Stats& b) {
  const float max = fmaxf(a.max, b.max);
  const auto shifted = [max](const Stats& s) {
    return s.max != max && s.max != minus_infinity() ? s.sum * expf(s.max - max) : s.sum;
  };
  return {max, shifted(a) + shifted(b)};
}

/// Of a block of `threads`, whose `slots` are used as reduce_group says.
__device__ inline Stats reduce_stats(const Stats& own, int threads, float (&slots)[2][kWarp]) {
  const float max = reduce_group(own.max, threads, slots[0], Maximum());
  return {max, reduce_group(both(own, {max, 0}).sum, threads, slots[1])};
}

/// Of a whole row, in every thread of a block of `threads`.
template <int kAtOnce, class T>
__device__ inline Stats row_stats(const T* x, int64_t n, int threads) {
  __shared__ float slots[2][kWarp];
  Stats own;
  walk<false, kAtOnce>(x, n, threadIdx.x, threads, [&](const auto& values, int64_t) { add_logits(own, values); });
  return reduce_stats(own, threads, slots);
}

/// Of a row: its log-sum-exp, what its loss counts for and its target, which may lie elsewhere.
struct LogitGradient {
  float lse, factor;
  int64_t target;

  /// Logits from column c on become factor * (exp(logit - lse) - [column is the target]); nothing of an ignored row
  /// counts, not even a NaN.
  template <int V>
  __device__ void apply(float (&values)[V], int64_t c) const {
    if (factor == 0) {
#pragma unroll
      for (int i = 0; i < V; ++i) values[i] = 0;
      return;
    }
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = fast_exp(values[i] - lse) * factor;
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
