// Table lookup, split by tokens; its gradient, split by columns, so that each thread owns what it adds to and every
// row of the table receives its tokens in order.
#include "ops/cpu/embedding.h"

#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/embedding.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {

void embedding_forward(Ctx& ctx, const Tensor& y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate) {
  const Rows rows(table);
  const auto lookup = [&](float* to, const float* old, int64_t n, int64_t r, int64_t c) HWY_ATTR {
    const int64_t row = ids.i32()[r] - row_begin;
    alignas(64) float buffer[kChunk];
    const bool here = row >= 0 && row < rows.count;
    const float* from = here ? load_row(rows, row, c, n, buffer) : nullptr;
    vector_loop(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto value = from != nullptr ? hn::LoadU(d, from + i) : hn::Zero(d);
      const auto before = old != nullptr ? hn::LoadU(d, old + i) : hn::Zero(d);
      hn::StoreU(hn::Add(before, value), d, to + i);
    });
  };
  if (accumulate)
    for_chunks<1, 1>(ctx, {Rows(y)}, {Rows(y)}, [&](auto& out, auto& in, int64_t n, int64_t r, int64_t c) HWY_ATTR {
      lookup(out[0], in[0], n, r, c);
    });
  else
    for_chunks<1, 0>(ctx, {Rows(y)}, {}, [&](auto& out, auto&, int64_t n, int64_t r, int64_t c) HWY_ATTR {
      lookup(out[0], nullptr, n, r, c);
    });
}

void embedding_backward(Ctx& ctx, const Tensor& dtable, const Tensor& ids, const Tensor& dy, int64_t row_begin) {
  const Rows table(dtable), from(dy);
  constexpr int64_t kCacheLines = 64;  // columns: a part is at least four cache lines wide
  const int64_t grain = std::max(kCacheLines, grain_of(from.count) / kCacheLines * kCacheLines);
  parallel(ctx, from.cols, grain, [&](int64_t begin, int64_t end) HWY_ATTR {
    alignas(64) float buffer[kChunk];
    for (int64_t token = 0; token < from.count; ++token) {
      const int64_t row = ids.i32()[token] - row_begin;
      if (row < 0 || row >= table.count) continue;
      for (int64_t c = begin; c < end; c += kChunk) {
        const int64_t n = std::min(kChunk, end - c);
        const float* g = load_row(from, token, c, n, buffer);
        float* to = reinterpret_cast<float*>(table.at(row, c));
        vector_loop(n, [=](auto d, int64_t i)
                           HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, g + i)), d, to + i); });
      }
    }
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(embedding_forward);
HWY_EXPORT(embedding_backward);

void embedding_forward(Ctx& ctx, const Tensor& y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate) {
  HWY_DYNAMIC_DISPATCH(embedding_forward)(ctx, y, ids, table, row_begin, accumulate);
}
void embedding_backward(Ctx& ctx, const Tensor& dtable, const Tensor& ids, const Tensor& dy, int64_t row_begin) {
  HWY_DYNAMIC_DISPATCH(embedding_backward)(ctx, dtable, ids, dy, row_begin);
}

}  // namespace trireme::cpu
#endif
