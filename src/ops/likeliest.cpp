// Checks and cost of the greedy choice, and its loop on the CPU.
#include "ops/likeliest.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cost.h"
#include "ops/cuda/likeliest.h"
#include "ops/dispatch.h"

namespace trireme {

/// Lane by lane: then the compiler finds vectors for it.
int32_t likeliest_of(std::span<const float> logits) {
  constexpr size_t kLanes = 64;
  float top[kLanes], off[kLanes] = {};  // off: NaN where a value is NaN or Inf
  std::fill_n(top, kLanes, -HUGE_VALF);
  const auto take = [&](size_t begin, size_t count) {
    for (size_t lane = 0; lane < count; ++lane) {
      const float x = logits[begin + lane];
      top[lane] = x > top[lane] ? x : top[lane];
      off[lane] += x - x;
    }
  };
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t begin = 0; begin < whole; begin += kLanes) take(begin, kLanes);
  take(whole, logits.size() - whole);
  if (std::accumulate(off, off + kLanes, 0.0F) != 0) return -1;
  const float largest = *std::max_element(top, top + kLanes);
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
}

void likeliest(Ctx& ctx, Tensor ids, const Tensor& logits) {
  const char* op = "likeliest";
  CHECK(logits.rank() == 2 && logits.size(1) > 0, op, ": logits ", logits.str());
  check_rows(op, "logits", logits);
  check_dtype(op, "logits", logits, DType::f32);
  const int64_t n = logits.size(0), v = logits.size(1);
  check_vector(op, "ids", ids, n, DType::i32);
  const bool on_gpu = ctx.backend == DeviceKind::cuda;
  const ArenaScope scope(*ctx.temp);
  const Tensor scratch = on_gpu ? ctx.temp->take(DType::i64, {n, cuda::likeliest_parts(v)}) : Tensor();
  if (!begin_op(ctx, op, {.bytes = bytes_of(ids, logits)})) return;
  if (on_gpu) return cuda::likeliest(ctx, ids, logits, scratch);
  for (int64_t r = 0; r < n; ++r)
    ids.i32()[r] = likeliest_of({logits.f32() + r * logits.stride(0), static_cast<size_t>(v)});
}

}  // namespace trireme
