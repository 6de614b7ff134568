// Blocks of up to 4 rows of `a` against several rows (transposed) or vectors of columns of b, sums in registers.
#include "ops/cpu/skinny.h"

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/skinny.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "hwy/cache_control.h"
#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const float* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const bf16_t* p) {
  const hn::Rebind<uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, &p->bits))));
}
template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const f16_t* p) {
#if HWY_TARGET <= HWY_AVX2
  const hn::Rebind<hwy::float16_t, D> d16;
  return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#else
  alignas(16) float wide[hn::MaxLanes(D())];
  for (size_t i = 0; i < hn::Lanes(d); ++i) wide[i] = to_float(p[i]);
  return hn::Load(d, wide);
#endif
}

HWY_INLINE float wide_value(float v) { return v; }
template <class T>
HWY_INLINE float wide_value(T v) {
  return to_float(v);
}

constexpr int64_t kAheadRows = 8;  // of b, which need not be neighbours in memory: no hardware prefetch then

/// The sum of the lanes of each of four vectors, or of one.
HWY_INLINE void sum_each(const hn::Vec<Floats> (&v)[4], float* sums) {
  const Floats d;
  const auto fold = [d](auto high, auto low)
                        HWY_ATTR { return hn::Add(hn::ConcatEven(d, high, low), hn::ConcatOdd(d, high, low)); };
  auto all = fold(fold(v[3], v[2]), fold(v[1], v[0]));  // a quarter of the lanes for each
  for (size_t lanes = hn::Lanes(d); lanes > 4; lanes /= 2) all = fold(all, all);
  alignas(64) float stored[hn::MaxLanes(d)];
  hn::Store(all, d, stored);
  std::copy_n(stored, 4, sums);
}
HWY_INLINE void sum_each(const hn::Vec<Floats> (&v)[1], float* sums) {
  *sums = hn::GetLane(hn::SumOfLanes(Floats(), v[0]));
}

/// Rows [m0, m0 + kM) of a against rows [n0, n0 + kN) of b; kN is 4 or 1.
template <int kM, int kN, class T>
HWY_INLINE void dots(const SkinnyProduct& s, int64_t m0, int64_t n0) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* a = s.a + m0 * s.lda;
  const T* b = static_cast<const T*>(s.b) + n0 * s.ldb;
  hn::Vec<Floats> sums[kM][kN];
  for (int m = 0; m < kM; ++m)
    for (int n = 0; n < kN; ++n) sums[m][n] = hn::Zero(d);
  int64_t k = 0;
  for (; k + lanes <= s.k; k += lanes) {
    hn::Vec<Floats> w[kN];
    for (int n = 0; n < kN; ++n) {
      w[n] = load_wide(d, b + n * s.ldb + k);
      hwy::Prefetch(b + (n + kAheadRows) * s.ldb + k);
    }
    for (int m = 0; m < kM; ++m) {
      const auto x = hn::LoadU(d, a + m * s.lda + k);
      for (int n = 0; n < kN; ++n) sums[m][n] = hn::MulAdd(x, w[n], sums[m][n]);
    }
  }
  for (int m = 0; m < kM; ++m) {
    float sum[kN];
    sum_each(sums[m], sum);
    for (int n = 0; n < kN; ++n) {
      for (int64_t i = k; i < s.k; ++i) sum[n] += a[m * s.lda + i] * wide_value(b[n * s.ldb + i]);
      s.c[(m0 + m) * s.ldc + n0 + n] = s.alpha * sum[n];
    }
  }
}

/// Rows [m0, m0 + kM) of a against kV vectors of columns of b from n0 on.
template <int kM, int kV, class D, class T>
HWY_INLINE void combine(D d, const SkinnyProduct& s, int64_t m0, int64_t n0, const T*) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* a = s.a + m0 * s.lda;
  const T* b = static_cast<const T*>(s.b) + n0;
  hn::Vec<D> sums[kM][kV];
  for (int m = 0; m < kM; ++m)
    for (int v = 0; v < kV; ++v) sums[m][v] = hn::Zero(d);
  for (int64_t k = 0; k < s.k; ++k, b += s.ldb) {
    hn::Vec<D> w[kV];
    for (int v = 0; v < kV; ++v) {
      w[v] = load_wide(d, b + v * lanes);
      hwy::Prefetch(b + kAheadRows * s.ldb + v * lanes);
    }
    for (int m = 0; m < kM; ++m) {
      const auto x = hn::Set(d, a[m * s.lda + k]);
      for (int v = 0; v < kV; ++v) sums[m][v] = hn::MulAdd(x, w[v], sums[m][v]);
    }
  }
  for (int m = 0; m < kM; ++m)
    for (int v = 0; v < kV; ++v)
      hn::StoreU(hn::Mul(hn::Set(d, s.alpha), sums[m][v]), d, s.c + (m0 + m) * s.ldc + n0 + v * lanes);
}

/// f(integral constant kM, m0) over blocks of four rows of a, then the rest.
template <class F>
HWY_INLINE void row_blocks(int64_t m, F f) {
  int64_t m0 = 0;
  for (; m0 + 4 <= m; m0 += 4) f(std::integral_constant<int, 4>(), m0);
  if (m - m0 == 3) f(std::integral_constant<int, 3>(), m0);
  if (m - m0 == 2) f(std::integral_constant<int, 2>(), m0);
  if (m - m0 == 1) f(std::integral_constant<int, 1>(), m0);
}

template <class T>
void product_transposed(const SkinnyProduct& s) {
  int64_t n = 0;
  for (; n + 4 <= s.n; n += 4)
    row_blocks(s.m, [&](auto rows, int64_t m0) HWY_ATTR { dots<decltype(rows)::value, 4, T>(s, m0, n); });
  for (; n < s.n; ++n)
    row_blocks(s.m, [&](auto rows, int64_t m0) HWY_ATTR { dots<decltype(rows)::value, 1, T>(s, m0, n); });
}

template <class T>
void product_plain(const SkinnyProduct& s) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const T* tag = nullptr;
  int64_t n = 0;
  if (s.m == 1)
    for (; n + 8 * lanes <= s.n; n += 8 * lanes) combine<1, 8>(d, s, 0, n, tag);
  for (; n + 4 * lanes <= s.n; n += 4 * lanes)
    row_blocks(s.m, [&](auto rows, int64_t m0) HWY_ATTR { combine<decltype(rows)::value, 4>(d, s, m0, n, tag); });
  for (; n + lanes <= s.n; n += lanes)
    row_blocks(s.m, [&](auto rows, int64_t m0) HWY_ATTR { combine<decltype(rows)::value, 1>(d, s, m0, n, tag); });
  for (; n < s.n; ++n)
    row_blocks(s.m,
               [&](auto rows, int64_t m0) HWY_ATTR { combine<decltype(rows)::value, 1>(OneFloat(), s, m0, n, tag); });
}

}  // namespace

void skinny_product(const SkinnyProduct& s) {
  if (s.b_dtype == DType::bf16)
    s.transposed ? product_transposed<bf16_t>(s) : product_plain<bf16_t>(s);
  else if (s.b_dtype == DType::f16)
    s.transposed ? product_transposed<f16_t>(s) : product_plain<f16_t>(s);
  else
    s.transposed ? product_transposed<float>(s) : product_plain<float>(s);
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(skinny_product);

void skinny_product(const SkinnyProduct& s) { HWY_DYNAMIC_DISPATCH(skinny_product)(s); }

}  // namespace trireme::cpu
#endif
