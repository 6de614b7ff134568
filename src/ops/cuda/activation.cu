// GELU and SwiGLU over whole tensors.
#include "ops/cuda/activation.h"

#include "ops/cuda/float8.h"
#include "ops/cuda/logistic.cuh"
#include "ops/cuda/map.cuh"

namespace trireme::cuda {
namespace {

struct Gelu {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = gelu(x[0][i]);
  }
};

struct GeluBackward {  // of dy, x
  static constexpr int kOut = 1, kIn = 2;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&dx)[1][V], const float (&in)[2][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) dx[0][i] = in[0][i] * gelu_slope(within_ten(in[1][i]));
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

/// f over all elements of `out`, the parts of `whole`, which is measured where that is asked.
template <class F>
void map_parts(Ctx& ctx, const char* op, const Measured& whole, const std::array<Tensor, F::kOut>& out,
               const std::array<Tensor, F::kIn>& in, const F& f) {
  const Tensor& largest = whole.largest;
  if (!largest.defined()) return map(ctx, op, out, in, f);
  clear_largest(ctx, largest);
  if (map_measured(ctx, op, largest.as<uint32_t>(), out, in, f)) return;
  map(ctx, op, out, in, f);
  find_largest(ctx, largest, whole.values);
}

}  // namespace

void gelu_forward(Ctx& ctx, const Measured& y, const Tensor& x) {
  map_parts(ctx, "gelu_forward", y, {y.values}, {x}, Gelu());
}

void gelu_backward(Ctx& ctx, const Measured& dx, const Tensor& dy, const Tensor& x) {
  map_parts(ctx, "gelu_backward", dx, {dx.values}, {dy, x}, GeluBackward());
}

void swiglu_forward(Ctx& ctx, const Measured& y, const Tensor& gate_up) {
  const Halves in = halves(gate_up);
  map_parts(ctx, "swiglu_forward", y, {y.values}, {in.gate, in.up}, Swiglu());
}

void swiglu_backward(Ctx& ctx, const Measured& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y) {
  const Halves in = halves(gate_up), out = halves(dgate_up.values);
  if (y.defined())
    map(ctx, "swiglu_backward", {out.gate, out.up, y}, {dy, in.gate, in.up}, SwigluBackward<true>());
  else
    map_parts(ctx, "swiglu_backward", dgate_up, {out.gate, out.up}, {dy, in.gate, in.up}, SwigluBackward<false>());
}

}  // namespace trireme::cuda
