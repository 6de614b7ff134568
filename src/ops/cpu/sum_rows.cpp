// Column sums for sum_rows of ops/matmul.h: each thread owns columns, so the order of sums is fixed. Partial sums of
// kRun rows keep the rounding error from growing with the number of rows.
#include <algorithm>

#include "ops/cpu/matmul.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/sum_rows.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kColumns = 128;  // of one block
constexpr int64_t kRun = 64;

/// to[i] += from[i].
HWY_INLINE void add_to(float* to, const float* from, int64_t n) {
  vector_loop(n, [=](auto d, int64_t i)
                     HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i); });
}

}  // namespace

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& x) {
  const Rows rows(x);
  parallel(ctx, rows.cols, std::max(kColumns, grain_of(rows.count)), [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float wide[kColumns], run[kColumns];
    for (int64_t c = begin; c < end; c += kColumns) {
      const int64_t n = std::min(kColumns, end - c);
      for (int64_t r0 = 0; r0 < rows.count; r0 += kRun) {
        std::fill_n(run, n, 0.0F);
        for (int64_t r = r0; r < std::min(r0 + kRun, rows.count); ++r) add_to(run, load_row(rows, r, c, n, wide), n);
        add_to(out.f32() + c, run, n);
      }
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(sum_rows);

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& x) { HWY_DYNAMIC_DISPATCH(sum_rows)(ctx, out, x); }

}  // namespace trireme::cpu
#endif
