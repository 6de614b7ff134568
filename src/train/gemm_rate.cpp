#include "train/gemm_rate.h"

#include <algorithm>
#include <chrono>

#include "ops/basic.h"
#include "ops/matmul.h"

namespace trireme {

double measure_gemm_rate(ThreadPool& pool, int repeats) {
  constexpr int64_t kSize = 1024;
  const Shape shape{kSize, kSize};
  Ctx ctx;
  ctx.pool = &pool;
  Arena planned = Arena::planning("scratch");
  ctx.device = kMeta;
  ctx.temp = &planned;
  const Tensor meta(nullptr, DType::f32, kMeta, shape);
  matmul(ctx, meta, meta, meta);
  Arena temp("scratch", kCpu, planned.peak());
  const Buffer memory("matrices", kCpu, 3 * shape.numel() * dtype_size(DType::f32));
  ctx.device = kCpu;
  ctx.temp = &temp;
  const Tensor all = memory.view(DType::f32, {3, kSize, kSize});
  fill(ctx, all, 0.5F);
  const auto matrix = [&](int64_t i) { return all.slice(0, i, i + 1).reshape(shape); };
  double best = 0;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    matmul(ctx, matrix(0), matrix(1), matrix(2));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds);
  }
  return best;
}

}  // namespace trireme
