// Random masks on vectors, compiled once per instruction set. A vector of Philox runs one block per 64-bit lane: the
// state words sit in the low halves, and whatever the high halves hold never reaches a result, because the widening
// multiply reads low halves only.
#include "base/random.h"
#include "hwy/highway.h"
#include "ops/cpu/rows-inl.h"

#if defined(TRIREME_OPS_CPU_PHILOX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TRIREME_OPS_CPU_PHILOX_INL_H
#undef TRIREME_OPS_CPU_PHILOX_INL_H
#else
#define TRIREME_OPS_CPU_PHILOX_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

using Blocks = hn::ScalableTag<uint64_t>;
using BlocksVec = hn::Vec<Blocks>;

/// Room behind the words that are needed: a vector's worth, and up to 3 before the first one of use.
constexpr int64_t kPhiloxMargin = 64;

/// a * b of the low halves, 32 x 32 -> 64 bits.
HWY_INLINE BlocksVec multiply(BlocksVec a, uint32_t b) {
  const hn::Repartition<uint32_t, Blocks> words;
  return hn::MulEven(hn::BitCast(words, a), hn::Set(words, b));
}

/// Writes the words of the blocks draw(hi, lo), draw(hi, lo + 1), ... in order: at least `count`, at most a vector's
/// worth (four times its 64-bit lanes) more.
inline void draw_words(RandomKey key, uint64_t hi, uint64_t lo, int64_t count, uint32_t* words) {
  const Blocks d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const BlocksVec low_half = hn::Set(d, 0xFFFFFFFF);
  for (int64_t i = 0; i < count; i += 4 * lanes, lo += static_cast<uint64_t>(lanes), words += 4 * lanes) {
    BlocksVec c0 = hn::Add(hn::Set(d, lo), hn::Iota(d, 0));
    BlocksVec c1 = hn::ShiftRight<32>(c0);
    BlocksVec c2 = hn::Set(d, hi);
    BlocksVec c3 = hn::Set(d, hi >> 32);
    auto k0 = static_cast<uint32_t>(key.key), k1 = static_cast<uint32_t>(key.key >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
      const BlocksVec p0 = multiply(c0, 0xD2511F53);
      const BlocksVec p1 = multiply(c2, 0xCD9E8D57);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, k0));
      c1 = p1;
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, k1));
      c3 = p0;
    }
    const BlocksVec first = hn::Or(hn::And(c0, low_half), hn::ShiftLeft<32>(c1));
    const BlocksVec second = hn::Or(hn::And(c2, low_half), hn::ShiftLeft<32>(c3));
    hn::StoreInterleaved2(first, second, d, reinterpret_cast<uint64_t*>(words));
  }
}

/// to = from * scale where the word's top 24 bits reach the threshold, else 0.
HWY_INLINE void multiply_by_mask(const float* from, float* to, int64_t n, const uint32_t* words, int32_t threshold,
                                 float scale) {
  vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
    const hn::RebindToUnsigned<decltype(d)> u32;
    const hn::RebindToSigned<decltype(d)> s32;
    const auto top = hn::BitCast(s32, hn::ShiftRight<8>(hn::LoadU(u32, words + i)));
    const auto keep = hn::RebindMask(d, hn::Gt(top, hn::Set(s32, threshold - 1)));
    const auto scaled = hn::Mul(hn::LoadU(d, from + i), hn::Set(d, scale));
    hn::StoreU(hn::IfThenElseZero(keep, scaled), d, to + i);
  });
}

}  // namespace
}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
