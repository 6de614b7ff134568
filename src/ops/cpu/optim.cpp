// AdamW in one pass over memory: every state is read and written once.
#include "ops/cpu/optim.h"

#include <cmath>

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/optim.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

struct Coefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, grad_scale, decay, step, inverse_root2, eps;
};

/// lr / bc1 and 1 / sqrt(bc2) are formed in double: they scale every update.
Coefficients coefficients(const AdamWArgs& a, float weight_decay) {
  return {.beta1 = a.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(a.beta1)),
          .beta2 = a.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(a.beta2)),
          .grad_scale = a.grad_scale,
          .decay = static_cast<float>(1.0 - static_cast<double>(a.lr) * static_cast<double>(weight_decay)),
          .step = static_cast<float>(static_cast<double>(a.lr) / static_cast<double>(a.bias_correction1)),
          .inverse_root2 = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.bias_correction2))),
          .eps = a.eps};
}

HWY_INLINE void update(float* master, float* m, float* v, const float* grad, int64_t n, const Coefficients& k) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, grad + i), hn::Set(d, k.grad_scale));
    const auto new_m = hn::MulAdd(hn::LoadU(d, m + i), hn::Set(d, k.beta1), hn::Mul(g, hn::Set(d, k.one_minus_beta1)));
    const auto new_v =
        hn::MulAdd(hn::LoadU(d, v + i), hn::Set(d, k.beta2), hn::Mul(hn::Mul(g, g), hn::Set(d, k.one_minus_beta2)));
    hn::StoreU(new_m, d, m + i);
    hn::StoreU(new_v, d, v + i);
    const auto denominator = hn::MulAdd(hn::Sqrt(new_v), hn::Set(d, k.inverse_root2), hn::Set(d, k.eps));
    const auto change = hn::Div(hn::Mul(new_m, hn::Set(d, k.step)), denominator);
    hn::StoreU(hn::MulSub(hn::LoadU(d, master + i), hn::Set(d, k.decay), change), d, master + i);
  });
}

}  // namespace

void update_slice(Ctx& ctx, const AdamWSlice& slice, const AdamWArgs& args) {
  const Tensor &master = slice.master, &param = slice.param;
  const Coefficients k = coefficients(args, slice.weight_decay);
  const int64_t n = master.numel();
  const Rows copy = param.defined() ? Rows(param.reshape({n})) : Rows();
  parallel(ctx, n, kSerialElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t i = begin; i < end; i += kChunk) {
      const int64_t count = std::min(kChunk, end - i);
      update(master.f32() + i, slice.m.f32() + i, slice.v.f32() + i, slice.grad.f32() + i, count, k);
      if (!param.defined()) continue;
      if (copy.dtype == DType::f32)
        std::copy_n(master.f32() + i, count, param.f32() + i);
      else
        store_row(copy, 0, i, count, master.f32() + i);
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(update_slice);

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  for (const AdamWSlice& slice : slices) HWY_DYNAMIC_DISPATCH(update_slice)(ctx, slice, args);
}

}  // namespace trireme::cpu
#endif
