// Cross-entropy over rows of logits: one pass over memory for the statistics (a running maximum, block by block), one
// in place for the gradient.
#include "ops/cpu/loss.h"

#include <cmath>
#include <limits>

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/loss.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "hwy/cache_control.h"
#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// The largest value. NaNs may be overlooked: the sum of exponentials still carries them.
HWY_INLINE float max_of(const float* x, int64_t n) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto m0 = hn::Set(d, kMinusInfinity), m1 = m0, m2 = m0, m3 = m0;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    m0 = hn::Max(hn::LoadU(d, x + i), m0);
    m1 = hn::Max(hn::LoadU(d, x + i + lanes), m1);
    m2 = hn::Max(hn::LoadU(d, x + i + 2 * lanes), m2);
    m3 = hn::Max(hn::LoadU(d, x + i + 3 * lanes), m3);
  }
  float best = hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
  for (; i < n; ++i) best = std::max(best, x[i]);
  return best;
}

/// Sum of exp(x - shift), four vectors wide: one sum would wait for itself. Meanwhile fetches as many elements of
/// `element` bytes from `ahead`, or else memory would rest during this arithmetic.
HWY_INLINE float sum_exp(const float* x, int64_t n, float shift, const char* ahead, int64_t element) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto term = [=](auto tag, int64_t i) HWY_ATTR {
    hwy::Prefetch(ahead + i * element);
    return exp_bounded(tag, hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, shift)));
  };
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, term(d, i));
    s1 = hn::Add(s1, term(d, i + lanes));
    s2 = hn::Add(s2, term(d, i + 2 * lanes));
    s3 = hn::Add(s3, term(d, i + 3 * lanes));
  }
  float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) total += hn::GetLane(term(OneFloat(), i));
  return total;
}

struct RowStats {
  float max, sum;
};

/// The sum so far is rescaled where a block raises the maximum. A row (or slice) of -inf adds nothing: its terms are
/// exp(-inf - 0), and not exp(-inf + inf).
RowStats row_stats(const Rows& logits, int64_t r) {
  constexpr int64_t kBlock = 4 * kChunk;  // four times the chunk: the sums across lanes would show in the time
  alignas(64) float buffer[kBlock];
  float max = kMinusInfinity;
  double sum = 0;
  for (int64_t c = 0; c < logits.cols; c += kBlock) {
    const int64_t n = std::min(kBlock, logits.cols - c);
    const float* x = load_row(logits, r, c, n, buffer);
    const float block_max = max_of(x, n);
    if (block_max > max) {
      sum *= std::exp(static_cast<double>(max) - static_cast<double>(block_max));
      max = block_max;
    }
    const float shift = max == kMinusInfinity ? 0.0F : max;
    const char* ahead = c + n < logits.cols ? logits.at(r, c + n) : logits.at(std::min(r + 1, logits.count - 1), 0);
    sum += static_cast<double>(sum_exp(x, n, shift, ahead, dtype_size(logits.dtype)));
  }
  return {max, static_cast<float>(sum)};
}

}  // namespace

void cross_entropy_stats(Ctx& ctx, const Tensor& max, const Tensor& sum, const Tensor& target_logit,
                         const Tensor& logits, const Tensor& targets, int64_t col_begin) {
  const Rows rows(logits);
  parallel(ctx, rows.count, grain_of(rows.cols), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffer[kChunk];
    for (int64_t r = begin; r < end; ++r) {
      const RowStats stats = row_stats(rows, r);
      max.f32()[r] = stats.max;
      sum.f32()[r] = stats.sum;
      const int64_t column = targets.i32()[r] - col_begin;
      const bool here = column >= 0 && column < rows.cols;
      target_logit.f32()[r] = here ? *load_row(rows, r, column, 1, buffer) : 0.0F;
    }
  });
}

void cross_entropy_backward(Ctx& ctx, const Tensor& logits, const Tensor& lse, const Tensor& targets,
                            const Tensor& weights, float scale, int64_t col_begin) {
  const Rows rows(logits);
  for_chunks<1, 1>(ctx, {rows}, {rows}, [&](auto& out, auto& in, int64_t n, int64_t r, int64_t c) HWY_ATTR {
    const float factor = scale * weights.f32()[r];
    float* to = out[0];
    if (factor == 0) {  // nothing of an ignored row counts, not even a NaN
      std::fill_n(to, n, 0.0F);
      return;
    }
    const float shift = lse.f32()[r];
    const float* x = in[0];
    vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto p = exp_bounded(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift)));
      hn::StoreU(hn::Mul(p, hn::Set(d, factor)), d, to + i);
    });
    const int64_t column = targets.i32()[r] - col_begin - c;
    if (column >= 0 && column < n) to[column] -= factor;
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(cross_entropy_stats);
HWY_EXPORT(cross_entropy_backward);

void cross_entropy_stats(Ctx& ctx, const Tensor& row_max, const Tensor& row_sum, const Tensor& target_logit,
                         const Tensor& logits, const Tensor& targets, int64_t col_begin) {
  HWY_DYNAMIC_DISPATCH(cross_entropy_stats)(ctx, row_max, row_sum, target_logit, logits, targets, col_begin);
}

void cross_entropy_backward(Ctx& ctx, const Tensor& logits, const Tensor& lse, const Tensor& targets,
                            const Tensor& weights, float scale, int64_t col_begin) {
  HWY_DYNAMIC_DISPATCH(cross_entropy_backward)(ctx, logits, lse, targets, weights, scale, col_begin);
}

// One value a row: nothing here is worth a vector.
void cross_entropy_rescale(Ctx& ctx, const Tensor& row_sum, const Tensor& row_max, const Tensor& global_max) {
  float* sum = row_sum.f32();
  const float *local = row_max.f32(), *global = global_max.f32();
  parallel(ctx, row_sum.numel(), grain_of(16), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) sum[r] *= std::exp(local[r] - global[r]);
  });
}

void cross_entropy_loss(Ctx& ctx, const Tensor& loss, const Tensor& lse, const Tensor& row_max, const Tensor& row_sum,
                        const Tensor& target_logit) {
  const float *max = row_max.f32(), *sum = row_sum.f32(), *target = target_logit.f32();
  parallel(ctx, loss.numel(), grain_of(16), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float log_sum = std::log(sum[r]);
      lse.f32()[r] = max[r] + log_sum;
      // In this order the difference of two large logits is exact and the small log is not lost in them.
      loss.f32()[r] = (max[r] - target[r]) + log_sum;
    }
  });
}

void weighted_sum(Ctx&, const Tensor& sum, const Tensor& weights, const Tensor& loss) {
  double total = 0;
  for (int64_t i = 0; i < loss.numel(); ++i)
    total += static_cast<double>(weights.f32()[i]) * static_cast<double>(loss.f32()[i]);
  *sum.as<double>() += total;
}

}  // namespace trireme::cpu
#endif
