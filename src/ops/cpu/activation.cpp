// GELU and SwiGLU on vectors. Both are built on the logistic function, which takes one exp of a number <= 0 and so
// neither overflows nor loses the small tail: 0.5 (1 + tanh(u)) = sigmoid(2u).
#include "ops/cpu/activation.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/activation.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

constexpr float kTwoSqrt2OverPi = 1.5957691216057308F;
constexpr float kCubic = 0.044715F;

template <class V>
struct Logistic {
  V value;       // 1 / (1 + e^-z)
  V complement;  // 1 - value, without cancellation
};

template <class D, class V>
HWY_INLINE Logistic<V> logistic(D d, V z) {
  const V one = hn::Set(d, 1.0F);
  const V e = exp_bounded(d, hn::Neg(hn::Abs(z)));
  const V large = hn::Div(one, hn::Add(one, e));
  const V small = hn::Mul(e, large);
  const auto negative = hn::Lt(z, hn::Zero(d));
  return {hn::IfThenElse(negative, small, large), hn::IfThenElse(negative, large, small)};
}

/// 2u of the tanh form: 2 sqrt(2/pi) (x + 0.044715 x^3).
template <class D, class V>
HWY_INLINE V gelu_argument(D d, V x) {
  const V cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(d, kTwoSqrt2OverPi * kCubic), hn::Set(d, kTwoSqrt2OverPi));
  return hn::Mul(x, cubic);
}

}  // namespace

void gelu_forward(Ctx& ctx, const Tensor& y, const Tensor& x) {
  for_chunks<1, 1>(ctx, {Rows(y)}, {Rows(x)}, [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto v = hn::LoadU(d, in[0] + i);
      hn::StoreU(hn::Mul(v, logistic(d, gelu_argument(d, v)).value), d, out[0] + i);
    });
  });
}

void gelu_backward(Ctx& ctx, const Tensor& dx, const Tensor& dy, const Tensor& x) {
  for_chunks<1, 2>(ctx, {Rows(dx)}, {Rows(dy), Rows(x)}, [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto v = hn::LoadU(d, in[1] + i);
      const auto s = logistic(d, gelu_argument(d, v));
      // Beyond +-10 the second term is below 1e-34; clamping keeps x^3 from overflowing into 0 * inf.
      const auto c = hn::Max(hn::Min(v, hn::Set(d, 10.0F)), hn::Set(d, -10.0F));
      const auto slope =
          hn::MulAdd(hn::Mul(c, c), hn::Set(d, 3 * kTwoSqrt2OverPi * kCubic), hn::Set(d, kTwoSqrt2OverPi));
      const auto total = hn::MulAdd(hn::Mul(c, slope), hn::Mul(s.value, s.complement), s.value);
      hn::StoreU(hn::Mul(hn::LoadU(d, in[0] + i), total), d, out[0] + i);
    });
  });
}

void swiglu_forward(Ctx& ctx, const Tensor& y, const Tensor& gate_up) {
  const int64_t f = y.size(1);
  const Rows gate(gate_up.slice(1, 0, f)), up(gate_up.slice(1, f, 2 * f));
  for_chunks<1, 2>(ctx, {Rows(y)}, {gate, up}, [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, in[0] + i);
      hn::StoreU(hn::Mul(hn::Mul(g, logistic(d, g).value), hn::LoadU(d, in[1] + i)), d, out[0] + i);
    });
  });
}

/// kAgain: with y.
template <bool kAgain>
void swiglu_gradient(Ctx& ctx, const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y) {
  const int64_t f = dy.size(1);
  const Rows gate(gate_up.slice(1, 0, f)), up(gate_up.slice(1, f, 2 * f));
  std::array<Rows, kAgain ? 3 : 2> results{Rows(dgate_up.slice(1, 0, f)), Rows(dgate_up.slice(1, f, 2 * f))};
  if constexpr (kAgain) results[2] = Rows(y);
  for_chunks<kAgain ? 3 : 2, 3>(ctx, results, {Rows(dy), gate, up},
                                [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
                                  vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
                                    const auto dv = hn::LoadU(d, in[0] + i);
                                    const auto g = hn::LoadU(d, in[1] + i);
                                    const auto u = hn::LoadU(d, in[2] + i);
                                    const auto s = logistic(d, g);
                                    const auto slope = hn::Mul(s.value, hn::MulAdd(g, s.complement, hn::Set(d, 1.0F)));
                                    const auto silu = hn::Mul(g, s.value);
                                    hn::StoreU(hn::Mul(hn::Mul(dv, u), slope), d, out[0] + i);
                                    hn::StoreU(hn::Mul(dv, silu), d, out[1] + i);
                                    if constexpr (kAgain) hn::StoreU(hn::Mul(silu, u), d, out[2] + i);
                                  });
                                });
}

void swiglu_backward(Ctx& ctx, const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y) {
  if (y.defined())
    swiglu_gradient<true>(ctx, dgate_up, dy, gate_up, y);
  else
    swiglu_gradient<false>(ctx, dgate_up, dy, gate_up, y);
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(gelu_forward);
HWY_EXPORT(gelu_backward);
HWY_EXPORT(swiglu_forward);
HWY_EXPORT(swiglu_backward);

void gelu_forward(Ctx& ctx, const Tensor& y, const Tensor& x) { HWY_DYNAMIC_DISPATCH(gelu_forward)(ctx, y, x); }
void gelu_backward(Ctx& ctx, const Tensor& dx, const Tensor& dy, const Tensor& x) {
  HWY_DYNAMIC_DISPATCH(gelu_backward)(ctx, dx, dy, x);
}
void swiglu_forward(Ctx& ctx, const Tensor& y, const Tensor& gate_up) {
  HWY_DYNAMIC_DISPATCH(swiglu_forward)(ctx, y, gate_up);
}
void swiglu_backward(Ctx& ctx, const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up, const Tensor& y) {
  HWY_DYNAMIC_DISPATCH(swiglu_backward)(ctx, dgate_up, dy, gate_up, y);
}

}  // namespace trireme::cpu
#endif
