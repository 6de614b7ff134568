// The logistic function and the activations built on it. Few instructions: under a power limit they are paid for
// even where memory or the tensor cores hide them.
#pragma once

#include <cfloat>
#include <cstdint>

#include "ops/cuda/fast_math.cuh"

namespace trireme::cuda {

/// With t = -z log2(e): the logistic function of z is `value`, and 1 - value, without cancellation, power * value where
/// the power is finite. A power beyond f32's range is infinite, and its value 0.
struct Logistic {
  float power;  // 2^t
  float value;  // 1 / (1 + 2^t)
};

__device__ inline Logistic logistic(float t) {
  const float power = fast_exp2(t);
  return {power, fast_reciprocal(1.0F + power)};
}

__device__ inline float swiglu(float gate, float up) { return gate * logistic(-kLog2E * gate).value * up; }

struct SwigluGradient {
  float gate, up;
};

/// Of gate and up, from that of swiglu(gate, up).
__device__ inline SwigluGradient swiglu_gradient(float dy, float gate, float up) {
  const Logistic s = logistic(-kLog2E * gate);
  const float complement = fminf(s.power, FLT_MAX) * s.value;
  return {dy * up * (s.value * fmaf(gate, complement, 1.0F)), dy * (gate * s.value)};
}

constexpr float kTwoSqrt2OverPi = 1.5957691216057308F;
constexpr float kCubic = 0.044715F;

/// Of the logistic function that is 0.5 (1 + tanh(u)) of the tanh form: its z is 2u.
__device__ inline Logistic gelu_logistic(float x) {
  return logistic(x * fmaf(x * x, -kLog2E * kTwoSqrt2OverPi * kCubic, -kLog2E * kTwoSqrt2OverPi));
}

__device__ inline float gelu(float x) { return x * gelu_logistic(x).value; }

/// Within +-10; NaN stays NaN.
__device__ inline float within_ten(float x) {
#if __CUDA_ARCH__ >= 800
  asm("min.NaN.f32 %0, %0, 0f41200000;\nmax.NaN.f32 %0, %0, 0fC1200000;" : "+f"(x));
  return x;
#else
  return fabsf(x) > 10.0F ? copysignf(10.0F, x) : x;
#endif
}

/// The same of two bf16 in a word, from compute capability 8.0 on.
__device__ inline uint32_t within_ten(uint32_t word) {
  asm("min.NaN.bf16x2 %0, %0, %1;\nmax.NaN.bf16x2 %0, %0, %2;" : "+r"(word) : "r"(0x41204120), "r"(0xC120C120));
  return word;
}

/// GELU' of c within +-10, where powers are finite; beyond, it is that of +-10, 0 or 1, to within 1e-34.
__device__ inline float gelu_slope(float c) {
  const Logistic s = gelu_logistic(c);
  const float slope = fmaf(c * c, 3 * kTwoSqrt2OverPi * kCubic, kTwoSqrt2OverPi);
  return fmaf(c * slope, s.value * (s.power * s.value), s.value);
}

}  // namespace trireme::cuda
