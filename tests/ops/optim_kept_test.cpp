// AdamW on values and moments in fewer bits (ops/state_codes.h): exact where it says so, else right in the mean, and
// always the same bits for an element, however its parameter is cut.
#include <gtest/gtest.h>

#include <cstring>

#include "ops/op_test.h"
#include "ops/optim.h"

namespace trireme {
namespace {

using namespace trireme::testing;

AdamWArgs arguments(int step) {
  AdamWArgs a;
  a.lr = 3e-3F;
  a.beta1 = 0.9F;
  a.beta2 = 0.95F;
  a.bias_correction1 = static_cast<float>(1 - std::pow(0.9, step));
  a.bias_correction2 = static_cast<float>(1 - std::pow(0.95, step));
  return a;
}

enum class Keep { f32, joined, by_chance };

/// A bf16 parameter of n elements (f32 where `Keep::f32` and `copy` is false) with its state.
struct Kept {
  Kept(Keep keep, DType moments, int64_t n, uint64_t seed = 1)
      : param(DType::bf16, {n}, random_values(n, seed)),
        m(moments, {n}),
        v(moments, {n}),
        m_scales(DType::f32, {code_blocks(n)}),
        v_scales(DType::f32, {code_blocks(n)}),
        slice{Tensor(), m.t, v.t, param.t, Tensor(), 0.1F} {
    for (const Owned* t : {&m, &v, &m_scales, &v_scales}) std::memset(t->t.data, 0, static_cast<size_t>(t->t.bytes()));
    if (keep == Keep::f32) master = Owned(DType::f32, {n}, param.values());
    if (keep == Keep::joined) master = Owned(DType::u16, {n}, Doubles(static_cast<size_t>(n)));
    if (keep != Keep::by_chance) slice.master = master.t;
    if (moments == DType::u8) slice.m_scales = m_scales.t, slice.v_scales = v_scales.t;
  }
  void step(Ctx& ctx, int t, const Owned& grad, uint64_t seed = 5) {
    slice.grad = grad.t;
    slice.key = RandomKey::of(seed, 7, static_cast<uint64_t>(t));
    adamw_update(ctx, slice, arguments(t));
  }
  bool same_bits(const Kept& o) const {
    return param.same_bits(o.param) && m.same_bits(o.m) && v.same_bits(o.v) && m_scales.same_bits(o.m_scales) &&
           v_scales.same_bits(o.v_scales) && (!slice.master.defined() || master.same_bits(o.master));
  }
  Doubles decoded(const Tensor& t, StateCode code, const Tensor& scales) const {
    if (t.dtype != DType::u8) return read(t);
    std::vector<float> out(static_cast<size_t>(t.numel()));
    decode_state(out.data(), {code, t, scales}, 0, t.numel());
    return {out.begin(), out.end()};
  }
  Doubles first_moment() const { return decoded(m.t, StateCode::moments, m_scales.t); }
  Doubles second_moment() const { return decoded(v.t, StateCode::roots, v_scales.t); }

  Owned param, m, v, m_scales, v_scales, master;
  AdamWSlice slice;
};

Owned gradient(int64_t n, int step) {
  return {DType::f32, {n}, random_values(n, 100 + static_cast<uint64_t>(step), step % 7 == 3 ? 10 : 1e-2)};
}

class KeptMoments : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, KeptMoments, ::testing::Values(DType::f32, DType::bf16, DType::u8),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

TEST_P(KeptMoments, JoinedHalvesTakeTheStepsOfAnF32MasterBitForBit) {
  const int64_t n = 1237;
  Kept exact(Keep::f32, GetParam(), n), joined(Keep::joined, GetParam(), n);
  OpContext op;
  for (int t = 1; t <= 100; ++t) {
    const Owned grad = gradient(n, t);
    exact.step(op.ctx(), t, grad);
    joined.step(op.ctx(), t, grad);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(join_halves(joined.param.t.as<bf16_t>()[i], joined.master.t.as<uint16_t>()[i]),
                exact.master.t.f32()[i]);
    ASSERT_TRUE(joined.param.same_bits(exact.param));
  }
  EXPECT_TRUE(joined.m.same_bits(exact.m) && joined.v.same_bits(exact.v));
}

TEST_P(KeptMoments, AGradientInBf16IsThatInF32OfTheSameValues) {
  const int64_t n = 5001;
  for (const Keep keep : {Keep::f32, Keep::joined, Keep::by_chance}) {
    Kept a(keep, GetParam(), n), b(keep, GetParam(), n);
    OpContext op;
    for (int t = 1; t <= 3; ++t) {
      const Owned half(DType::bf16, {n}, gradient(n, t).values());
      a.step(op.ctx(), t, half);
      b.step(op.ctx(), t, Owned(DType::f32, {n}, half.values()));
    }
    EXPECT_TRUE(a.same_bits(b));
  }
}

/// Mean over many seeds of what one step leaves, against the step in double from the same state.
TEST_P(KeptMoments, OneStepIsThatOfDoubleInTheMean) {
  constexpr int64_t kSize = 300;
  constexpr int kSeeds = 400;
  OpContext op;
  const Owned grad = gradient(kSize, 9);
  Doubles p(kSize), m(kSize), v(kSize), want_p, want_m, want_v;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Kept kept(Keep::by_chance, GetParam(), kSize);
    for (int t = 1; t <= 3; ++t) kept.step(op.ctx(), t, gradient(kSize, t));
    if (seed == 0) {
      const AdamWArgs a = arguments(4);
      const Doubles p0 = kept.param.values(), m0 = kept.first_moment(), v0 = kept.second_moment(), g = grad.values();
      for (size_t i = 0; i < kSize; ++i) {
        const double b1 = a.beta1, b2 = a.beta2, lr = a.lr;
        want_m.push_back(b1 * m0[i] + (1 - b1) * g[i]);
        want_v.push_back(b2 * v0[i] + (1 - b2) * g[i] * g[i]);
        want_p.push_back(p0[i] * (1 - lr * 0.1) -
                         lr * (want_m[i] / static_cast<double>(a.bias_correction1)) /
                             (std::sqrt(want_v[i] / static_cast<double>(a.bias_correction2)) + 1e-8));
      }
    }
    kept.step(op.ctx(), 4, grad, 1000 + static_cast<uint64_t>(seed));
    const Doubles got_p = kept.param.values(), got_m = kept.first_moment(), got_v = kept.second_moment();
    for (size_t i = 0; i < kSize; ++i) p[i] += got_p[i] / kSeeds, m[i] += got_m[i] / kSeeds, v[i] += got_v[i] / kSeeds;
  }
  // A value between two that lie d apart has a deviation of at most d / 2; the mean of n of them d / 2 / sqrt(n). Six
  // of these are not exceeded once in 10^8.
  const double sigmas = 6 * 0.5 / std::sqrt(static_cast<double>(kSeeds));
  const double spacing = GetParam() == DType::f32 ? 0x1p-19 : GetParam() == DType::bf16 ? 0x1p-7 : 0x1p-3;
  double largest_m = 0, largest_v = 0;
  for (size_t i = 0; i < kSize; ++i) {
    largest_m = std::max(largest_m, std::fabs(want_m[i]));
    largest_v = std::max(largest_v, want_v[i]);
  }
  const double least_m = GetParam() == DType::u8 ? 2e-5 * largest_m : 1e-30;
  // A root's step is half as wide for its size; its square is wider by as much, and larger by the root's variance.
  const double variance = GetParam() == DType::u8 ? std::pow(0x1p-4 / 2, 2) : 0;
  for (size_t i = 0; i < kSize; ++i) {
    EXPECT_NEAR(p[i], want_p[i], sigmas * 0x1p-7 * std::fabs(want_p[i]) + 1e-7) << i;
    EXPECT_NEAR(m[i], want_m[i], sigmas * (spacing * std::fabs(want_m[i]) + least_m) + 1e-9) << i;
    EXPECT_NEAR(v[i], want_v[i], (sigmas * spacing + variance + 1e-6) * want_v[i] + 1e-9 * largest_v) << i;
  }
}

TEST_P(KeptMoments, AStepInFewerBitsIsNearlyTheStepInF32) {
  constexpr int64_t kSize = 5000;
  Kept exact(Keep::f32, DType::f32, kSize), kept(Keep::f32, GetParam(), kSize);
  const Doubles start = exact.master.values();
  OpContext op;
  for (int t = 1; t <= 60; ++t) {
    const Owned grad = gradient(kSize, t);
    exact.step(op.ctx(), t, grad);
    kept.step(op.ctx(), t, grad);
  }
  double moved = 0, apart = 0;
  const Doubles end = exact.master.values(), other = kept.master.values();
  for (size_t i = 0; i < kSize; ++i) {
    moved += std::pow(end[i] - start[i], 2);
    apart += std::pow(other[i] - end[i], 2);
  }
  const double share = std::sqrt(apart / moved);
  std::printf("after 60 steps of noise, parameters with %s moments lie %.4f of the way moved apart\n",
              std::string(dtype_name(GetParam())).c_str(), share);
  EXPECT_LE(share, GetParam() == DType::f32 ? 0 : GetParam() == DType::bf16 ? 0.01 : 0.1);
}

/// Without those of 8 bits, whose blocks begin where a slice does.
class UnblockedMoments : public KeptMoments {};
INSTANTIATE_TEST_SUITE_P(Types, UnblockedMoments, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

TEST_P(UnblockedMoments, AnElementIsRoundedAlikeHoweverItsParameterIsCut) {
  constexpr int64_t kRows = 7, kCols = 150;
  OpContext op;
  for (const Keep keep : {Keep::joined, Keep::by_chance}) {
    Kept whole(keep, GetParam(), kRows * kCols);
    const Owned grad = gradient(kRows * kCols, 1);
    whole.step(op.ctx(), 3, grad);
    const auto first = [&](int64_t row, int64_t col) { return row * kCols + col; };
    for (const int64_t col : {0, 1, 64}) {  // columns [col, col + width), of which the first few elements are missing
      const int64_t width = col == 1 ? 33 : 86, n = kRows * width, missing = col + 2;
      Kept part(keep, GetParam(), n);
      const Kept start(keep, GetParam(), kRows * kCols);
      Owned part_grad(DType::f32, {n}, Doubles(static_cast<size_t>(n)));
      for (int64_t i = 0; i < n; ++i) {
        const int64_t from = first(i / width, col + i % width);
        part.param.t.as<bf16_t>()[i] = start.param.t.as<bf16_t>()[from];
        if (keep == Keep::joined) part.master.t.as<uint16_t>()[i] = start.master.t.as<uint16_t>()[from];
        part_grad.t.f32()[i] = grad.t.f32()[from];
      }
      AdamWSlice slice = part.slice;
      for (Tensor* t : {&slice.master, &slice.m, &slice.v, &slice.param})
        if (t->defined()) *t = t->slice(0, missing, n);
      slice.grad = part_grad.t.slice(0, missing, n);
      slice.key = whole.slice.key;
      slice.positions = {.first = col, .column = missing, .width = width, .stride = kCols};
      adamw_update(op.ctx(), slice, arguments(3));
      for (int64_t i = missing; i < n; ++i) {
        const int64_t at = first(i / width, col + i % width);
        ASSERT_EQ(part.param.t.as<bf16_t>()[i].bits, whole.param.t.as<bf16_t>()[at].bits) << i;
        ASSERT_EQ(read_element(part.m.t, i), read_element(whole.m.t, at));
        ASSERT_EQ(read_element(part.v.t, i), read_element(whole.v.t, at));
      }
    }
  }
}

TEST_P(KeptMoments, SameBitsAtAnyNumberOfThreads) {
  constexpr int64_t kSize = 70001;
  OpContext one(1), many(3);
  for (const Keep keep : {Keep::f32, Keep::joined, Keep::by_chance}) {
    Kept a(keep, GetParam(), kSize), b(keep, GetParam(), kSize);
    for (int t = 1; t <= 2; ++t) {
      const Owned grad = gradient(kSize, t);
      a.step(one.ctx(), t, grad);
      b.step(many.ctx(), t, grad);
    }
    EXPECT_TRUE(a.same_bits(b));
  }
}

TEST(KeptMoments, OnMetaTheBytesOfEachWayAreCounted) {
  const int64_t n = 1024, scales = 2 * 4 * code_blocks(n);
  const std::tuple<Keep, DType, int64_t> ways[] = {{Keep::f32, DType::f32, n * (3 * 8 + 4 + 2)},
                                                   {Keep::joined, DType::f32, n * (2 * 8 + 4 + 4 + 4)},
                                                   {Keep::by_chance, DType::bf16, n * (2 * 4 + 4 + 4)},
                                                   {Keep::joined, DType::u8, n * (2 * 2 + 4 + 4 + 4) + 2 * scales}};
  for (const auto& [keep, moments, bytes] : ways) {
    Kept kept(keep, moments, n);
    AdamWSlice s = kept.slice;
    s.grad = s.v;
    s.grad.dtype = DType::f32;
    for (Tensor* t : {&s.master, &s.m, &s.v, &s.param, &s.grad, &s.m_scales, &s.v_scales})
      if (t->defined()) *t = on_meta(*t);
    const auto meta = OpContext::planning();
    adamw_update(meta->ctx(), s, arguments(1));
    EXPECT_EQ(meta->count().bytes, bytes);
  }
}

}  // namespace
}  // namespace trireme
