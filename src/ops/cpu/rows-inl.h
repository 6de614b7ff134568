// The vector side of rows.h, compiled once per instruction set: f32 views of rows in any storage type, loops over
// vectors with a scalar tail, sums, and exp.
//
// A product that feeds a sum is always written as MulAdd: left to itself the compiler fuses some of them, and not the
// same ones in the vectors as in the tail, and an element's value would depend on where a slice begins.
#include "hwy/highway.h"
#include "ops/cpu/rows.h"

#if defined(TRIREME_OPS_CPU_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TRIREME_OPS_CPU_ROWS_INL_H
#undef TRIREME_OPS_CPU_ROWS_INL_H
#else
#define TRIREME_OPS_CPU_ROWS_INL_H
#endif

#include <array>

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;  // a full vector
using OneFloat = hn::CappedTag<float, 1>;

/// body(tag, i) for all of [0, n): full vectors, then one lane at a time.
template <class Body>
HWY_INLINE void vector_loop(int64_t n, Body body) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(d, i);
  for (; i < n; ++i) body(OneFloat(), i);
}

/// A sum of vectors and tails, for use in a vector_loop.
class Sum {
 public:
  HWY_INLINE Sum() : lanes_(hn::Zero(Floats())) {}  // written out: a default member value is compiled for no target
  HWY_INLINE void add(Floats, hn::Vec<Floats> v) { lanes_ = hn::Add(lanes_, v); }
  HWY_INLINE void add(OneFloat, hn::Vec<OneFloat> v) { tail_ += hn::GetLane(v); }
  HWY_INLINE void add_product(Floats, hn::Vec<Floats> a, hn::Vec<Floats> b) { lanes_ = hn::MulAdd(a, b, lanes_); }
  HWY_INLINE void add_product(OneFloat d, hn::Vec<OneFloat> a, hn::Vec<OneFloat> b) {
    tail_ = hn::GetLane(hn::MulAdd(a, b, hn::Set(d, tail_)));
  }
  HWY_INLINE float total() const { return hn::GetLane(hn::SumOfLanes(Floats(), lanes_)) + tail_; }

 private:
  hn::Vec<Floats> lanes_;
  float tail_ = 0;
};

HWY_INLINE void widen(const bf16_t* from, float* to, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const hn::Rebind<uint16_t, decltype(d)> d16;
    const hn::RebindToUnsigned<decltype(d)> d32;
    const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, &from[i].bits));
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(bits)), d, to + i);
  });
}

/// Round to nearest even; a NaN stays one.
HWY_INLINE void narrow(const float* from, bf16_t* to, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const hn::Rebind<uint16_t, decltype(d)> d16;
    const hn::RebindToUnsigned<decltype(d)> d32;
    const hn::RebindToSigned<decltype(d)> s32;
    const auto v = hn::LoadU(d, from + i);
    const auto bits = hn::BitCast(d32, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(d32, 0x7FFF)), odd));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(d32, 0x40));
    const auto half = hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), quiet, rounded);
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(s32, half)), d16, &to[i].bits);
  });
}

// Highway's emulation of f16 below AVX2 has neither infinities nor rounding to even: there, one at a time.
#if HWY_TARGET <= HWY_AVX2
HWY_INLINE void widen(const f16_t* from, float* to, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const hn::Rebind<hwy::float16_t, decltype(d)> d16;
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from + i))), d, to + i);
  });
}
HWY_INLINE void narrow(const float* from, f16_t* to, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const hn::Rebind<hwy::float16_t, decltype(d)> d16;
    hn::StoreU(hn::DemoteTo(d16, hn::LoadU(d, from + i)), d16, reinterpret_cast<hwy::float16_t*>(to + i));
  });
}
#else
HWY_INLINE void widen(const f16_t* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
}
HWY_INLINE void narrow(const float* from, f16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = to_f16(from[i]);
}
#endif

/// Columns [c, c + n) of a row as f32: the row itself, or `buffer` filled from it.
HWY_INLINE const float* load_row(const Rows& rows, int64_t r, int64_t c, int64_t n, float* buffer) {
  const char* from = rows.at(r, c);
  if (rows.dtype == DType::f32) return reinterpret_cast<const float*>(from);
  if (rows.dtype == DType::bf16)
    widen(reinterpret_cast<const bf16_t*>(from), buffer, n);
  else
    widen(reinterpret_cast<const f16_t*>(from), buffer, n);
  return buffer;
}

/// Where to write columns [c, ...) of a row: the row itself, or `buffer`; store_row() then carries it over.
HWY_INLINE float* out_row(const Rows& rows, int64_t r, int64_t c, float* buffer) {
  return rows.dtype == DType::f32 ? reinterpret_cast<float*>(rows.at(r, c)) : buffer;
}
HWY_INLINE void store_row(const Rows& rows, int64_t r, int64_t c, int64_t n, const float* from) {
  if (rows.dtype == DType::f32) return;
  if (rows.dtype == DType::bf16)
    narrow(from, reinterpret_cast<bf16_t*>(rows.at(r, c)), n);
  else
    narrow(from, reinterpret_cast<f16_t*>(rows.at(r, c)), n);
}

/// f(out, in, n, row, column) with f32 pointers to the same chunk of every tensor, over all chunks. All tensors have
/// the rows and columns of the first output (columns of wider ones beyond are not seen).
template <size_t kOut, size_t kIn, class F>
void for_chunks(const Ctx& ctx, const std::array<Rows, kOut>& out, const std::array<Rows, kIn>& in, F f) {
  const int64_t cols = out[0].cols;
  const int64_t chunks = (cols + kChunk - 1) / kChunk;
  parallel(ctx, out[0].count * chunks, grain_of(std::min(cols, kChunk)), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffers[kOut + kIn][kChunk];
    std::array<float*, kOut> to;
    std::array<const float*, kIn> from;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t r = item / chunks;
      const int64_t c = item % chunks * kChunk;
      const int64_t n = std::min(kChunk, cols - c);
      for (size_t k = 0; k < kIn; ++k) from[k] = load_row(in[k], r, c, n, buffers[kOut + k]);
      for (size_t k = 0; k < kOut; ++k) to[k] = out_row(out[k], r, c, buffers[k]);
      f(to, from, n, r, c);
      for (size_t k = 0; k < kOut; ++k) store_row(out[k], r, c, n, to[k]);
    }
  });
}

/// e^x for x <= 88, relative error below 1.5 epsilon; 0 where x < ln(2^-126); a NaN stays one. x = k ln 2 + r with
/// |r| <= ln(2)/2; the polynomial (degree 6, fitted at Chebyshev nodes) is within 1.1e-8 of e^r.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_bounded(D d, V x) {
  const hn::RebindToSigned<D> ints;
  const V shift = hn::Set(d, 12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341F), shift);
  const V k = hn::Sub(shifted, shift);
  V r = hn::NegMulAdd(k, hn::Set(d, 0.693359375F), x);
  r = hn::NegMulAdd(k, hn::Set(d, -2.12194440e-4F), r);
  V p = hn::MulAdd(r, hn::Set(d, 0.0013926213466131181F), hn::Set(d, 0.0083632029715758F));
  p = hn::MulAdd(p, r, hn::Set(d, 0.04166655443768803F));
  p = hn::MulAdd(p, r, hn::Set(d, 0.16666576845993977F));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(ints, shifted)), hn::Set(ints, 0x3F800000));
  const V result = hn::Mul(p, hn::BitCast(d, power));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.33654F)), hn::Zero(d), result);
}

}  // namespace
}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
