// AdamW in one pass over memory: every state is read and written once, and worked on in f32 by chunks.
#include "ops/cpu/optim.h"

#include <cmath>
#include <cstring>

#include "base/numeric.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/optim.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/philox-inl.h"
#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

static_assert(kChunk % kCodeBlock == 0);

struct Coefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, grad_scale, decay, step, inverse_root2, eps;
};

/// lr / bc1 and 1 / sqrt(bc2) are formed in double: they scale every update.
Coefficients coefficients(const AdamWArgs& a, float weight_decay) {
  return {.beta1 = a.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(a.beta1)),
          .beta2 = a.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(a.beta2)),
          .grad_scale = a.factor.defined() ? *a.factor.f32() : 1.0F,
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

/// Elements [at, at + n) of a slice, n <= kChunk.
struct Chunk {
  const AdamWSlice& slice;
  int64_t at, n;

  bool has_f32_master() const { return slice.master.defined() && slice.master.dtype == DType::f32; }
  bool by_chance() const { return !slice.master.defined() || slice.m.dtype != DType::f32; }
  bf16_t* halves() const { return slice.param.as<bf16_t>() + at; }
};

/// The random bits of the chunk's elements.
HWY_INLINE void draw(const Chunk& c, RoundingBits* bits) {
  alignas(64) uint32_t words[kChunk + kPhiloxMargin];
  const ElementPositions& positions = c.slice.positions;
  for (int64_t i = 0; i < c.n;) {  // runs of elements that lie one after the other
    const int64_t left =
        positions.width == 0 ? c.n - i : positions.width - (positions.column + c.at + i) % positions.width;
    const int64_t count = std::min(left, c.n - i);
    const auto first = static_cast<uint64_t>(positions.of(c.at + i));
    const auto skipped = static_cast<int64_t>(first % 4);
    draw_words(c.slice.key, 0, first / 4, skipped + count, words);
    std::memcpy(bits + i, words + skipped, static_cast<size_t>(count) * sizeof(RoundingBits));
    i += count;
  }
}

HWY_INLINE float* load_value(const Chunk& c, float* buffer) {
  if (c.has_f32_master()) return c.slice.master.f32() + c.at;
  const bf16_t* high = c.halves();
  if (!c.slice.master.defined()) {
    widen(high, buffer, c.n);
    return buffer;
  }
  const uint16_t* low = c.slice.master.as<uint16_t>() + c.at;
  for (int64_t i = 0; i < c.n; ++i) buffer[i] = join_halves(high[i], low[i]);
  return buffer;
}

HWY_INLINE void store_value(const Chunk& c, const float* value, const RoundingBits* bits) {
  const Tensor& param = c.slice.param;
  if (!param.defined()) return;
  if (param.dtype == DType::f32) {
    std::copy_n(value, c.n, param.f32() + c.at);
  } else if (param.dtype == DType::f16) {
    narrow(value, param.as<f16_t>() + c.at, c.n);
  } else if (!c.slice.master.defined()) {
    for (int64_t i = 0; i < c.n; ++i) c.halves()[i] = stochastic_bf16(value[i], bits[i].param());
  } else {
    for (int64_t i = 0; i < c.n; ++i) c.halves()[i] = high_half(value[i]);
  }
  if (c.slice.master.defined() && c.slice.master.dtype == DType::u16)
    for (int64_t i = 0; i < c.n; ++i) c.slice.master.as<uint16_t>()[c.at + i] = low_half(value[i]);
}

/// m (of the chunk's slice) or v, as `kRoot` says.
template <bool kRoot>
HWY_INLINE float* load_moment(const Chunk& c, const Tensor& t, const Tensor& scales, float* buffer) {
  if (t.dtype == DType::f32) return t.f32() + c.at;
  if (t.dtype == DType::bf16) {
    widen(t.as<bf16_t>() + c.at, buffer, c.n);
    return buffer;
  }
  const uint8_t* codes = t.as<uint8_t>() + c.at;
  for (int64_t i = 0; i < c.n; ++i) {
    const float scale = scales.f32()[(c.at + i) / kCodeBlock];
    const float share = kRoot ? decode_root(codes[i], scale) : decode_moment(codes[i], scale);
    buffer[i] = kRoot ? share * share : share;
  }
  return buffer;
}

HWY_INLINE const float* load_grad(const Chunk& c, float* buffer) {
  const Tensor& grad = c.slice.grad;
  if (grad.dtype == DType::f32) return grad.f32() + c.at;
  widen(grad.as<bf16_t>() + c.at, buffer, c.n);
  return buffer;
}

template <bool kRoot>
HWY_INLINE void store_moment(const Chunk& c, const Tensor& t, const Tensor& scales, float* value,
                             const RoundingBits* bits) {
  if (t.dtype == DType::f32) return;
  if (t.dtype == DType::bf16) {
    bf16_t* to = t.as<bf16_t>() + c.at;
    for (int64_t i = 0; i < c.n; ++i) to[i] = stochastic_bf16(value[i], kRoot ? bits[i].v() : bits[i].m());
    return;
  }
  for (int64_t begin = 0; begin < c.n; begin += kCodeBlock) {
    const int64_t end = std::min(begin + kCodeBlock, c.n);
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (kRoot) value[i] = std::sqrt(value[i]);
      largest = std::max(largest, std::fabs(value[i]));
    }
    const float scale = block_scale(largest, kRoot ? kLeastRoot : kLeastMoment);
    scales.f32()[(c.at + begin) / kCodeBlock] = scale;
    for (int64_t i = begin; i < end; ++i)
      t.as<uint8_t>()[c.at + i] = kRoot ? encode_root(value[i], scale, root_steps().chance(bits[i].v()))
                                        : encode_moment(value[i], scale, moment_steps().chance(bits[i].m()));
  }
}

}  // namespace

void update_slice(Ctx& ctx, const AdamWSlice& s, const AdamWArgs& args) {
  const Coefficients k = coefficients(args, s.weight_decay);
  const int64_t n = s.grad.numel();
  parallel(ctx, ceil_div(n, kChunk), kSerialElements / kChunk, [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffers[4][kChunk];
    RoundingBits bits[kChunk];
    for (int64_t i = begin; i < end; ++i) {
      const Chunk chunk{s, i * kChunk, std::min(kChunk, n - i * kChunk)};
      float* value = load_value(chunk, buffers[0]);
      float* m = load_moment<false>(chunk, s.m, s.m_scales, buffers[1]);
      float* v = load_moment<true>(chunk, s.v, s.v_scales, buffers[2]);
      update(value, m, v, load_grad(chunk, buffers[3]), chunk.n, k);
      if (chunk.by_chance()) draw(chunk, bits);
      store_value(chunk, value, bits);
      store_moment<false>(chunk, s.m, s.m_scales, m, bits);
      store_moment<true>(chunk, s.v, s.v_scales, v, bits);
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(update_slice);

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  if (args.factor.defined() && std::isnan(*args.factor.f32())) return;
  for (const AdamWSlice& slice : slices) HWY_DYNAMIC_DISPATCH(update_slice)(ctx, slice, args);
}

void clip_factor(Ctx&, const Tensor& factor, const Tensor& squares, const Tensor& loss, const ClipArgs& args) {
  *factor.f32() = clip_factor(std::sqrt(*squares.as<double>()), *loss.as<double>(), args);
}

}  // namespace trireme::cpu
#endif
