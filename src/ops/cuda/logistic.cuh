// The logistic function and what is built on it, as on the CPU: one exponential of a number <= 0, which neither
// overflows nor loses the small tail.
#pragma once

namespace trireme::cuda {

struct Logistic {
  float value;       // 1 / (1 + e^-z)
  float complement;  // 1 - value, without cancellation
};

__device__ inline Logistic logistic(float z) {
  const float e = __expf(-fabsf(z));
  const float large = __fdividef(1.0F, 1.0F + e);
  const float small = e * large;
  return z < 0 ? Logistic{small, large} : Logistic{large, small};
}

__device__ inline float swiglu(float gate, float up) { return gate * logistic(gate).value * up; }

struct SwigluGradient {
  float gate, up;
};

/// Of gate and up, from that of swiglu(gate, up).
__device__ inline SwigluGradient swiglu_gradient(float dy, float gate, float up) {
  const Logistic s = logistic(gate);
  return {dy * up * (s.value * fmaf(gate, s.complement, 1.0F)), dy * (gate * s.value)};
}

}  // namespace trireme::cuda
