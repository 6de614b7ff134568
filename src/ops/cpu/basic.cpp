// Elementwise helpers and the two scans over flat tensors.
#include "ops/cpu/basic.h"

#include <atomic>
#include <limits>

#include "base/numeric.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/basic.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = 4096;  // elements summed by one thread in one go

/// Sum of squares in double, four vectors wide.
double squares_of(const float* x, int64_t n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const auto square = [=](int64_t i, auto sum) HWY_ATTR {
    const auto v = hn::PromoteTo(d, hn::LoadU(half, x + i));
    return hn::MulAdd(v, v, sum);
  };
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = square(i, s0);
    s1 = square(i + lanes, s1);
    s2 = square(i + 2 * lanes, s2);
    s3 = square(i + 3 * lanes, s3);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

/// True where any of x is NaN or Inf: without the sign, their bits are the largest as integers.
bool any_nonfinite(const float* x, int64_t n) {
  const hn::ScalableTag<int32_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* bits = reinterpret_cast<const int32_t*>(x);
  const auto magnitude = hn::Set(d, 0x7FFFFFFF);
  auto largest = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) largest = hn::Max(largest, hn::And(hn::LoadU(d, bits + i), magnitude));
  int32_t most = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; i < n; ++i) most = std::max(most, bits[i] & 0x7FFFFFFF);
  return most >= 0x7F800000;
}

}  // namespace

void fill(Ctx& ctx, const Tensor& y, float value) {
  for_chunks<1, 0>(ctx, {Rows(y)}, {},
                   [value](auto& out, auto&, int64_t n, int64_t, int64_t) HWY_ATTR { std::fill_n(out[0], n, value); });
}

void copy(Ctx& ctx, const Tensor& y, const Tensor& x) {
  for_chunks<1, 1>(ctx, {Rows(y)}, {Rows(x)},
                   [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR { std::copy_n(in[0], n, out[0]); });
}

void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b) {
  for_chunks<1, 2>(ctx, {Rows(y)}, {Rows(a), Rows(b)}, [](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(d, in[0] + i), hn::LoadU(d, in[1] + i)), d, out[0] + i);
    });
  });
}

void scale(Ctx& ctx, const Tensor& y, float factor) {
  const Rows rows(y);
  for_chunks<1, 1>(ctx, {rows}, {rows}, [factor](auto& out, auto& in, int64_t n, int64_t, int64_t) HWY_ATTR {
    vector_loop(n, [&](auto d, int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, in[0] + i), hn::Set(d, factor)), d, out[0] + i); });
  });
}

double sum_squares(Ctx& ctx, const Tensor& x) {
  const int64_t n = x.numel();
  const Rows row(x.reshape({n}));
  // Parts of whole blocks, as many as the size alone says: added in order, whoever summed them.
  constexpr int64_t kMaxParts = 256;
  const int64_t blocks = ceil_div(n, kBlock);
  const int64_t parts = std::min(blocks, kMaxParts);
  double sums[kMaxParts] = {};
  parallel(ctx, parts, grain_of(parts > 0 ? n / parts : 0), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffer[kChunk];
    for (int64_t part = begin; part < end; ++part) {
      const int64_t last = std::min(part_begin(blocks, parts, part + 1) * kBlock, n);
      for (int64_t i = part_begin(blocks, parts, part) * kBlock; i < last; i += kChunk) {
        const int64_t count = std::min(kChunk, last - i);
        sums[part] += squares_of(load_row(row, 0, i, count, buffer), count);
      }
    }
  });
  double total = 0;
  for (int64_t part = 0; part < parts; ++part) total += sums[part];
  return total;
}

int64_t find_nonfinite(Ctx& ctx, const Tensor& x) {
  const int64_t n = x.numel();
  const Rows row(x.reshape({n}));
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> first{kNone};  // start of the first chunk that holds one
  parallel(ctx, n, kSerialElements, [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffer[kChunk];
    for (int64_t i = begin; i < end; i += kChunk) {
      const int64_t count = std::min(kChunk, end - i);
      if (!any_nonfinite(load_row(row, 0, i, count, buffer), count)) continue;
      int64_t known = first.load();
      while (i < known && !first.compare_exchange_weak(known, i)) {}
      return;
    }
  });
  if (first == kNone) return -1;
  alignas(64) float buffer[kChunk];
  int64_t index = first;
  const float* chunk = load_row(row, 0, index, std::min(kChunk, n - index), buffer);
  while (!any_nonfinite(chunk, 1)) ++chunk, ++index;
  return index;
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(fill);
HWY_EXPORT(copy);
HWY_EXPORT(add);
HWY_EXPORT(scale);
HWY_EXPORT(sum_squares);
HWY_EXPORT(find_nonfinite);

void fill(Ctx& ctx, const Tensor& y, float value) { HWY_DYNAMIC_DISPATCH(fill)(ctx, y, value); }
void copy(Ctx& ctx, const Tensor& y, const Tensor& x) { HWY_DYNAMIC_DISPATCH(copy)(ctx, y, x); }
void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b) { HWY_DYNAMIC_DISPATCH(add)(ctx, y, a, b); }
void scale(Ctx& ctx, const Tensor& y, float factor) { HWY_DYNAMIC_DISPATCH(scale)(ctx, y, factor); }
double sum_squares(Ctx& ctx, const Tensor& x) { return HWY_DYNAMIC_DISPATCH(sum_squares)(ctx, x); }
int64_t find_nonfinite(Ctx& ctx, const Tensor& x) { return HWY_DYNAMIC_DISPATCH(find_nonfinite)(ctx, x); }

}  // namespace trireme::cpu
#endif
