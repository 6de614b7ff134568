// GELU and SwiGLU, both built on the logistic function as on the CPU.
#include "ops/cuda/activation.h"

#include "ops/cuda/logistic.cuh"
#include "ops/cuda/map.cuh"

namespace trireme::cuda {
namespace {

constexpr float kTwoSqrt2OverPi = 1.5957691216057308F;
constexpr float kCubic = 0.044715F;

/// 2u of the tanh form: 0.5 (1 + tanh(u)) = logistic(2u).
__device__ float gelu_argument(float x) { return x * fmaf(x * x, kTwoSqrt2OverPi * kCubic, kTwoSqrt2OverPi); }

struct Gelu {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = x[0][i] * logistic(gelu_argument(x[0][i])).value;
  }
};

struct GeluBackward {  // of dy, x
  static constexpr int kOut = 1, kIn = 2;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&dx)[1][V], const float (&in)[2][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float x = in[1][i];
      const Logistic s = logistic(gelu_argument(x));
      // Beyond +-10 the second term is below 1e-34; clamping keeps x^3 from overflowing into 0 * inf.
      const float c = fmaxf(fminf(x, 10.0F), -10.0F);
      const float slope = fmaf(c * c, 3 * kTwoSqrt2OverPi * kCubic, kTwoSqrt2OverPi);
      dx[0][i] = in[0][i] * fmaf(c * slope, s.value * s.complement, s.value);
    }
  }
};

struct Swiglu {  // of gate, up
  static constexpr int kOut = 1, kIn = 2;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&in)[2][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = swiglu(in[0][i], in[1][i]);
  }
};

template <bool kAgain>
struct SwigluBackward {  // dgate, dup of dy, gate, up; and y again
  static constexpr int kOut = kAgain ? 3 : 2, kIn = 3;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&out)[kOut][V], const float (&in)[3][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float dy = in[0][i], gate = in[1][i], up = in[2][i];
      const SwigluGradient d = swiglu_gradient(dy, gate, up);
      out[0][i] = d.gate;
      out[1][i] = d.up;
      if constexpr (kAgain) out[2][i] = swiglu(gate, up);
    }
  }
};

struct Halves {
  Tensor gate, up;
};

Halves halves(const Tensor& gate_up) {
  const int64_t f = gate_up.size(1) / 2;
  return {gate_up.slice(1, 0, f), gate_up.slice(1, f, 2 * f)};
}

}  // namespace

void gelu_forward(Ctx& ctx, const Tensor& y, const Tensor& x) { map(ctx, "gelu_forward", {y}, {x}, Gelu()); }

void gelu_backward(Ctx& ctx, const Tensor& dx, const Tensor& dy, const Tensor& x) {
  map(ctx, "gelu_backward", {dx}, {dy, x}, GeluBackward());
}

void swiglu_forward(Ctx& ctx, const Tensor& y, const Tensor& gate_up) {
  const Halves in = halves(gate_up);
  map(ctx, "swiglu_forward", {y}, {in.gate, in.up}, Swiglu());
}

void swiglu_backward(Ctx& ctx, const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y) {
  const Halves in = halves(gate_up), out = halves(dgate_up);
  if (y.defined())
    map(ctx, "swiglu_backward", {out.gate, out.up, y}, {dy, in.gate, in.up}, SwigluBackward<true>());
  else
    map(ctx, "swiglu_backward", {out.gate, out.up}, {dy, in.gate, in.up}, SwigluBackward<false>());
}

}  // namespace trireme::cuda
