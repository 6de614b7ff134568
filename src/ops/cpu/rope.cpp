// Rotary positions: a rotation of the two halves of every head, in place.
#include "ops/cpu/rope.h"

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/rope.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

/// (a, b) = (a cos - b sin, b cos + a sin), the sine times `sign`.
HWY_INLINE void rotate(float* a, float* b, const float* cosine, const float* sine, float sign, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto c = hn::LoadU(d, cosine + i);
    const auto s = hn::Mul(hn::LoadU(d, sine + i), hn::Set(d, sign));
    const auto va = hn::LoadU(d, a + i);
    const auto vb = hn::LoadU(d, b + i);
    hn::StoreU(hn::NegMulAdd(vb, s, hn::Mul(va, c)), d, a + i);
    hn::StoreU(hn::MulAdd(va, s, hn::Mul(vb, c)), d, b + i);
  });
}

}  // namespace

void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse) {
  const Rows rows(x);
  const int64_t heads = x.size(1), half = x.size(2) / 2;
  const float sign = inverse ? -1.0F : 1.0F;
  parallel(ctx, x.size(0), grain_of(heads * 2 * half), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffers[2][kChunk];
    for (int64_t token = begin; token < end; ++token) {
      const int64_t position = positions.i32()[token];
      CHECK(position >= 0 && position < table.size(0), "rope: position ", position, " of token ", token,
            " is outside the table of ", table.size(0));
      const float* angles = table.f32() + position * 2 * half;
      for (int64_t r = token * heads; r < (token + 1) * heads; ++r) {
        for (int64_t c = 0; c < half; c += kChunk) {
          const int64_t n = std::min(kChunk, half - c);
          load_row(rows, r, c, n, buffers[0]);
          load_row(rows, r, half + c, n, buffers[1]);
          float* a = out_row(rows, r, c, buffers[0]);
          float* b = out_row(rows, r, half + c, buffers[1]);
          rotate(a, b, angles + c, angles + half + c, sign, n);
          store_row(rows, r, c, n, a);
          store_row(rows, r, half + c, n, b);
        }
      }
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(rope);

void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse) {
  HWY_DYNAMIC_DISPATCH(rope)(ctx, x, positions, table, inverse);
}

}  // namespace trireme::cpu
#endif
