// RMSNorm and LayerNorm, row by row: a row is read from memory once and from the cache in the later passes. With a
// `delta` the sum is stored first, so that statistics, output and backward all see x as it is stored.
#include "ops/cpu/norm.h"

#include <cmath>

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/norm.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

/// f(column, n) over the chunks of a row.
template <class F>
HWY_INLINE void chunks_of_row(int64_t cols, F f) {
  for (int64_t c = 0; c < cols; c += kChunk) f(c, std::min(kChunk, cols - c));
}

void add_row(const Rows& x, const Rows& residual, const Rows& delta, int64_t r) {
  alignas(64) float buffers[3][kChunk];
  chunks_of_row(x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* a = load_row(residual, r, c, n, buffers[0]);
    const float* b = load_row(delta, r, c, n, buffers[1]);
    float* to = out_row(x, r, c, buffers[2]);
    vector_loop(n, [=](auto d, int64_t i)
                       HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, to + i); });
    store_row(x, r, c, n, to);
  });
}

float row_mean(const Rows& x, int64_t r) {
  alignas(64) float buffer[kChunk];
  Sum sum;
  chunks_of_row(x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* v = load_row(x, r, c, n, buffer);
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR { sum.add(d, hn::LoadU(d, v + i)); });
  });
  return sum.total() / static_cast<float>(x.cols);
}

/// Mean of (x - center)^2.
float row_variance(const Rows& x, int64_t r, float center) {
  alignas(64) float buffer[kChunk];
  Sum sum;
  chunks_of_row(x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* v = load_row(x, r, c, n, buffer);
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto centered = hn::Sub(hn::LoadU(d, v + i), hn::Set(d, center));
      sum.add_product(d, centered, centered);
    });
  });
  return sum.total() / static_cast<float>(x.cols);
}

/// y = (x - mean) * rstd * weight + bias; `bias` null: none.
void write_row(const Rows& y, const Rows& x, const Rows& weight, const Rows* bias, int64_t r, float mean, float rstd) {
  alignas(64) float buffers[4][kChunk];
  chunks_of_row(x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* v = load_row(x, r, c, n, buffers[0]);
    const float* w = load_row(weight, 0, c, n, buffers[1]);
    const float* b = bias != nullptr ? load_row(*bias, 0, c, n, buffers[2]) : nullptr;
    float* to = out_row(y, r, c, buffers[3]);
    vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, v + i), hn::Set(d, mean)), hn::Set(d, rstd));
      const auto shift = b != nullptr ? hn::LoadU(d, b + i) : hn::Zero(d);
      hn::StoreU(hn::MulAdd(xhat, hn::LoadU(d, w + i), shift), d, to + i);
    });
    store_row(y, r, c, n, to);
  });
}

/// What the backward of one row needs; null partial sums are not wanted.
struct BackwardRow {
  Rows dx, dy, x, weight;
  bool centered, accumulate;
};

struct RowMeans {
  float g, g_xhat;  // means of g = dy * weight and of g * xhat
};

RowMeans reduce_row(const BackwardRow& a, int64_t r, float mean, float rstd, float* dweight, float* dbias) {
  alignas(64) float buffers[3][kChunk];
  Sum g_sum, g_xhat_sum;
  chunks_of_row(a.x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* dy = load_row(a.dy, r, c, n, buffers[0]);
    const float* x = load_row(a.x, r, c, n, buffers[1]);
    const float* w = load_row(a.weight, 0, c, n, buffers[2]);
    vector_loop(n, [&](auto d, int64_t i) HWY_ATTR {
      const auto dv = hn::LoadU(d, dy + i);
      const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
      const auto g = hn::Mul(dv, hn::LoadU(d, w + i));
      g_sum.add(d, g);
      g_xhat_sum.add_product(d, g, xhat);
      if (dweight != nullptr) hn::StoreU(hn::MulAdd(dv, xhat, hn::LoadU(d, dweight + c + i)), d, dweight + c + i);
      if (dbias != nullptr) hn::StoreU(hn::Add(dv, hn::LoadU(d, dbias + c + i)), d, dbias + c + i);
    });
  });
  const auto cols = static_cast<float>(a.x.cols);
  return {a.centered ? g_sum.total() / cols : 0.0F, g_xhat_sum.total() / cols};
}

/// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), the middle term for LayerNorm only.
void write_dx(const BackwardRow& a, int64_t r, float mean, float rstd, RowMeans means) {
  alignas(64) float buffers[5][kChunk];
  chunks_of_row(a.x.cols, [&](int64_t c, int64_t n) HWY_ATTR {
    const float* dy = load_row(a.dy, r, c, n, buffers[0]);
    const float* x = load_row(a.x, r, c, n, buffers[1]);
    const float* w = load_row(a.weight, 0, c, n, buffers[2]);
    const float* old = a.accumulate ? load_row(a.dx, r, c, n, buffers[3]) : nullptr;
    float* to = out_row(a.dx, r, c, buffers[4]);
    vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
      const auto g = hn::MulSub(hn::LoadU(d, dy + i), hn::LoadU(d, w + i), hn::Set(d, means.g));
      const auto inner = hn::NegMulAdd(xhat, hn::Set(d, means.g_xhat), g);
      const auto before = old != nullptr ? hn::LoadU(d, old + i) : hn::Zero(d);
      hn::StoreU(hn::MulAdd(inner, hn::Set(d, rstd), before), d, to + i);
    });
    store_row(a.dx, r, c, n, to);
  });
}

/// grad += the rows of `partial`, in order.
void combine(const Ctx& ctx, const Tensor& grad, const Tensor& partial) {
  const int64_t blocks = partial.size(0), cols = partial.size(1);
  parallel(ctx, cols, std::max<int64_t>(64, grain_of(blocks)), [&](int64_t begin, int64_t end) HWY_ATTR {
    float* to = grad.f32() + begin;
    for (int64_t block = 0; block < blocks; ++block) {
      const float* from = partial.f32() + block * cols + begin;
      vector_loop(end - begin, [=](auto d, int64_t i) HWY_ATTR {
        hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i);
      });
    }
  });
}

}  // namespace

void norm_forward(Ctx& ctx, const NormForward& a) {
  const Rows residual(a.residual), y(a.y), weight(a.weight);
  const Rows delta = a.delta.defined() ? Rows(a.delta) : Rows();
  const Rows x = a.delta.defined() ? Rows(a.x) : residual;
  const Rows bias = a.bias.defined() ? Rows(a.bias) : Rows();
  parallel(ctx, y.count, grain_of(y.cols), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t r = begin; r < end; ++r) {
      if (a.delta.defined()) add_row(x, residual, delta, r);
      const float mean = a.mean.defined() ? row_mean(x, r) : 0.0F;
      const float rstd = 1.0F / std::sqrt(row_variance(x, r, mean) + a.eps);
      write_row(y, x, weight, a.bias.defined() ? &bias : nullptr, r, mean, rstd);
      a.rstd.f32()[r] = rstd;
      if (a.mean.defined()) a.mean.f32()[r] = mean;
    }
  });
}

void norm_backward(Ctx& ctx, const NormBackward& a) {
  const BackwardRow row{Rows(a.dx), Rows(a.dy), Rows(a.x), Rows(a.weight), a.mean.defined(), a.accumulate};
  const int64_t rows = row.x.count, cols = row.x.cols;
  const int64_t blocks = norm_blocks(rows);
  const auto partial_row = [&](const Tensor& partial, int64_t block) {
    float* sums = partial.defined() ? partial.f32() + block * cols : nullptr;
    if (sums != nullptr) std::fill_n(sums, cols, 0.0F);
    return sums;
  };
  parallel(ctx, blocks, grain_of(ceil_div(rows, blocks) * cols), [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t block = begin; block < end; ++block) {
      float* dweight = partial_row(a.partial_dweight, block);
      float* dbias = partial_row(a.partial_dbias, block);
      for (int64_t r = part_begin(rows, blocks, block); r < part_begin(rows, blocks, block + 1); ++r) {
        const float mean = row.centered ? a.mean.f32()[r] : 0.0F;
        const float rstd = a.rstd.f32()[r];
        write_dx(row, r, mean, rstd, reduce_row(row, r, mean, rstd, dweight, dbias));
      }
    }
  });
  if (a.dweight.defined()) combine(ctx, a.dweight, a.partial_dweight);
  if (a.dbias.defined()) combine(ctx, a.dbias, a.partial_dbias);
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(norm_forward);
HWY_EXPORT(norm_backward);

void norm_forward(Ctx& ctx, const NormForward& a) { HWY_DYNAMIC_DISPATCH(norm_forward)(ctx, a); }
void norm_backward(Ctx& ctx, const NormBackward& a) { HWY_DYNAMIC_DISPATCH(norm_backward)(ctx, a); }

}  // namespace trireme::cpu
#endif
