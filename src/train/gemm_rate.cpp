#include "train/gemm_rate.h"

#include <algorithm>

#include "base/clock.h"
#include "base/random.h"
#include "device/cuda.h"
#include "ops/matmul.h"

namespace trireme {
namespace {

/// Random values, the same million again and again: products of constants draw less power and look faster than they
/// are.
void randomise(const Tensor& t) {
  const int64_t n = std::min<int64_t>(t.numel(), 1 << 20), bytes = n * dtype_size(t.dtype);
  const Buffer staging("random values", kCpu, bytes);
  const RandomKey key = RandomKey::of(1, name_hash("gemm_rate"));
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(mix64(key.key, static_cast<uint64_t>(i)));
    const float value = uniform_float(bits) - 0.5F;
    switch (t.dtype) {
      case DType::bf16: static_cast<bf16_t*>(staging.data())[i] = to_bf16(value); break;
      case DType::f16: static_cast<f16_t*>(staging.data())[i] = to_f16(value); break;
      default: static_cast<float*>(staging.data())[i] = value;
    }
  }
  for (int64_t at = 0; at < t.bytes(); at += bytes)
    copy_memory(t.device, t.as<char>() + at, kCpu, staging.data(), std::min(bytes, t.bytes() - at));
}

}  // namespace

double measure_gemm_rate(const Ctx& where, DType dtype) {
  const bool on_gpu = where.backend == DeviceKind::cuda;
  const int64_t size = on_gpu ? 8192 : 1024;
  const int rounds = 3, products = on_gpu ? 5 : 1;  // of a round
  const Shape shape{size, size};
  Ctx ctx = where;
  ctx.count = nullptr;
  Arena planned = Arena::planning("scratch");
  ctx.device = kMeta;
  ctx.temp = &planned;
  const Tensor meta(nullptr, dtype, kMeta, shape);
  matmul(ctx, meta, meta, meta);
  Arena temp("scratch", where.device, planned.peak());
  const Buffer memory("matrices", where.device, 3 * shape.numel() * dtype_size(dtype));
  ctx.device = where.device;
  ctx.temp = &temp;
  const Tensor all = memory.view(dtype, {3, size, size});
  const auto matrix = [&](int64_t i) { return all.slice(0, i, i + 1).reshape(shape); };
  randomise(matrix(1));
  randomise(matrix(2));
  if (on_gpu) matmul(ctx, matrix(0), matrix(1), matrix(2));  // chooses an algorithm
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    cuda_synchronize(ctx.cuda);
    const double begin = now_seconds();
    for (int i = 0; i < products; ++i) matmul(ctx, matrix(0), matrix(1), matrix(2));
    cuda_synchronize(ctx.cuda);
    const double seconds = now_seconds() - begin;
    const auto n = static_cast<double>(size);
    best = std::max(best, products * 2 * n * n * n / seconds);
  }
  return best;
}

}  // namespace trireme
