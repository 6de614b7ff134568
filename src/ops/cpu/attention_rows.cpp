// Rows are cut to what they see by -inf in the other columns, so that the loops below need no masks: exp gives 0.
#include "ops/cpu/attention_rows.h"

#include <limits>

#include "ops/cpu/dropout.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/attention_rows.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/philox-inl.h"
#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();

/// Columns in whole vectors; a row of kKeys always has room for them.
HWY_INLINE int64_t padded(int64_t cols) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Floats()));
  return (cols + lanes - 1) / lanes * lanes;
}

/// Hides what row r does not see; false (and zeros) where it sees nothing.
HWY_INLINE bool hide(const ScoreTile& tile, int64_t r) {
  const int64_t begin = tile.visible->begin[static_cast<size_t>(r)], end = tile.visible->end[static_cast<size_t>(r)];
  float* row = tile.data + r * kKeys;
  std::fill_n(row, begin, kMinusInf);
  std::fill(row + end, row + padded(tile.cols), kMinusInf);
  if (begin < end) return true;
  std::fill_n(row, tile.cols, 0.0F);
  return false;
}

/// f(offset) for every whole vector of a row.
template <class F>
HWY_INLINE void whole_vectors(int64_t cols, F f) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Floats()));
  for (int64_t i = 0; i < cols; i += lanes) f(i);
}

}  // namespace

void softmax_step(const ScoreTile& tile, float* row_max, float* row_sum, float* o, int64_t d_size) {
  const Floats d;
  for (int64_t r = 0; r < tile.rows; ++r) {
    if (!hide(tile, r)) continue;
    float* row = tile.data + r * kKeys;
    auto peak = hn::Set(d, row_max[r]);
    whole_vectors(tile.cols, [&](int64_t i) HWY_ATTR { peak = hn::Max(hn::LoadU(d, row + i), peak); });
    const float top = hn::GetLane(hn::MaxOfLanes(d, peak));
    const auto shift = hn::Set(d, top);
    auto sum = hn::Zero(d);
    whole_vectors(tile.cols, [&](int64_t i) HWY_ATTR {
      const auto p = exp_bounded(d, hn::Sub(hn::LoadU(d, row + i), shift));
      hn::StoreU(p, d, row + i);
      sum = hn::Add(sum, p);
    });
    const float factor = row_max[r] == top ? 1.0F : hn::GetLane(exp_bounded(d, hn::Set(d, row_max[r] - top)));
    row_sum[r] = row_sum[r] * factor + hn::GetLane(hn::SumOfLanes(d, sum));
    row_max[r] = top;
    if (factor == 1.0F) continue;
    float* out = o + r * d_size;
    vector_loop(d_size, [=](auto any, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(any, out + i), hn::Set(any, factor)), any, out + i);
    });
  }
}

void softmax_gradient(const ScoreTile& tile, float* dp, const float* lse, const float* delta) {
  const Floats d;
  for (int64_t r = 0; r < tile.rows; ++r) {
    float* row = tile.data + r * kKeys;
    float* gradient = dp + r * kKeys;
    if (!hide(tile, r)) {
      std::fill_n(gradient, tile.cols, 0.0F);
      continue;
    }
    const auto shift = hn::Set(d, lse[r]), mean = hn::Set(d, delta[r]);
    whole_vectors(tile.cols, [&](int64_t i) HWY_ATTR {
      const auto p = exp_bounded(d, hn::Sub(hn::LoadU(d, row + i), shift));
      hn::StoreU(p, d, row + i);
      hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(d, gradient + i), mean)), d, gradient + i);
    });
  }
}

void drop_tile(float* x, int64_t rows, int64_t cols, const TileDropout& dropout, const uint64_t* hi) {
  alignas(64) uint32_t words[kKeys + kPhiloxMargin];
  const auto skip = static_cast<int64_t>(dropout.columns % 4);
  const int32_t threshold = dropout_threshold(dropout.p);
  const float scale = 1.0F / (1.0F - dropout.p);
  for (int64_t r = 0; r < rows; ++r) {
    draw_words(dropout.key, hi[r], dropout.columns / 4, skip + cols, words);
    multiply_by_mask(x + r * kKeys, x + r * kKeys, cols, words + skip, threshold, scale);
  }
}

void attention_delta(Ctx& ctx, const Tensor& delta, const Tensor& d_o, const Tensor& o) {
  const Rows gradients(d_o), outputs(o);
  const int64_t cols = gradients.cols;
  parallel(ctx, gradients.count, grain_of(cols), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float gradient_row[kChunk], output_row[kChunk];
    for (int64_t r = begin; r < end; ++r) {
      float total = 0;
      for (int64_t c = 0; c < cols; c += kChunk) {
        const int64_t n = std::min(kChunk, cols - c);
        const float* a = load_row(gradients, r, c, n, gradient_row);
        const float* b = load_row(outputs, r, c, n, output_row);
        Sum sum;
        vector_loop(n,
                    [&](auto d, int64_t i) HWY_ATTR { sum.add(d, hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i))); });
        total += sum.total();
      }
      delta.f32()[r] = total;
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(softmax_step);
HWY_EXPORT(softmax_gradient);
HWY_EXPORT(drop_tile);
HWY_EXPORT(attention_delta);

void softmax_step(const ScoreTile& tile, float* row_max, float* row_sum, float* o, int64_t d) {
  HWY_DYNAMIC_DISPATCH(softmax_step)(tile, row_max, row_sum, o, d);
}
void softmax_gradient(const ScoreTile& tile, float* dp, const float* lse, const float* delta) {
  HWY_DYNAMIC_DISPATCH(softmax_gradient)(tile, dp, lse, delta);
}
void drop_tile(float* x, int64_t rows, int64_t cols, const TileDropout& dropout, const uint64_t* hi) {
  HWY_DYNAMIC_DISPATCH(drop_tile)(x, rows, cols, dropout, hi);
}
void attention_delta(Ctx& ctx, const Tensor& delta, const Tensor& d_o, const Tensor& o) {
  HWY_DYNAMIC_DISPATCH(attention_delta)(ctx, delta, d_o, o);
}

}  // namespace trireme::cpu
#endif
