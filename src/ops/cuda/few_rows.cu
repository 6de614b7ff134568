// A warp owns a row of b, a column of the result, and walks along it with eight packs a lane in flight; the first of
// them are on their way before the kernel that computes a is done.
#include "ops/cuda/few_rows.h"

#include "base/numeric.h"
#include "ops/cuda/early.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 8;
constexpr int64_t kMostRows = 4;

struct FewRows {
  const char *a, *b, *bias;
  char* c;
  int64_t a_pitch, b_pitch, c_pitch;  // bytes
  int64_t rows, columns, packs;       // of c; packs of a row of b
  float alpha;
  bool bias_f32;
  bool early;  // b was there long before
};

/// Read once: not to push a's rows out of the L1.
template <class T>
__device__ Pack<T, kWidth<T>> stream(const Pack<T, kWidth<T>>* from) {
  const uint4 raw = __ldcs(reinterpret_cast<const uint4*>(from));
  return {{raw.x, raw.y, raw.z, raw.w}};
}

template <class T, class Out, int kRows>
__global__ void __launch_bounds__(kThreads) few_rows_kernel(const __grid_constant__ FewRows p) {
  constexpr int V = kWidth<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t column = int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  const bool active = column < p.columns;
  const auto* weights = reinterpret_cast<const Pack<T, V>*>(p.b + (active ? column : 0) * p.b_pitch);
  let_next_begin();

  Pack<T, V> raw[kAtOnce];
  const auto fetch = [&](int64_t first) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (const int64_t i = first + u * kWarp; i < p.packs) raw[u] = stream<T>(weights + i);
  };
  if (p.early) fetch(lane);
  wait_for_previous();
  if (!p.early) fetch(lane);

  float sum[kRows] = {};
  for (int64_t first = lane; first < p.packs; first += kAtOnce * kWarp) {
    if (first != lane) fetch(first);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t i = first + u * kWarp;
      if (i >= p.packs) break;
      float w[V];
      unpack(raw[u], w);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t row = r < p.rows ? r : 0;
        float x[V];
        unpack(*reinterpret_cast<const Pack<T, V>*>(p.a + row * p.a_pitch + i * 16), x);
#pragma unroll
        for (int v = 0; v < V; ++v) sum[r] = fmaf(w[v], x[v], sum[r]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float total = reduce_lanes(sum[r]);
    if (lane != 0 || !active || r >= p.rows) continue;
    float bias = 0;
    if (p.bias != nullptr)
      bias = p.bias_f32 ? reinterpret_cast<const float*>(p.bias)[column]
                        : to_f32(reinterpret_cast<const T*>(p.bias)[column]);
    reinterpret_cast<Out*>(p.c + r * p.c_pitch)[column] = from_f32<Out>(fmaf(total, p.alpha, bias));
  }
}

template <class T, class Out>
void launch(const Ctx& ctx, const FewRows& p) {
  const dim3 grid(narrow<unsigned>(ceil_div(p.columns, int64_t{kThreads / kWarp})));
  if (p.rows == 1) return launch_early(ctx, few_rows_kernel<T, Out, 1>, grid, kThreads, p);
  if (p.rows == 2) return launch_early(ctx, few_rows_kernel<T, Out, 2>, grid, kThreads, p);
  launch_early(ctx, few_rows_kernel<T, Out, 4>, grid, kThreads, p);
}

int64_t pitch(const Tensor& t) { return (t.size(0) > 1 ? t.stride(0) : t.size(1)) * dtype_size(t.dtype); }

bool in_packs(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && pitch(t) % 16 == 0 &&
         t.size(1) * dtype_size(t.dtype) % 16 == 0;
}

}  // namespace

bool takes_few_rows(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool types = a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == DType::f32) &&
                     (o.bias == nullptr || o.bias->dtype == a.dtype || o.bias->dtype == DType::f32);
  return types && a.size(0) <= kMostRows && a.size(1) > 0 && o.transpose_b && !o.transpose_a && !o.accumulate &&
         in_packs(a) && in_packs(b);
}

void few_rows_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const FewRows p{.a = a.as<char>(),
                  .b = b.as<char>(),
                  .bias = o.bias == nullptr ? nullptr : o.bias->as<char>(),
                  .c = c.as<char>(),
                  .a_pitch = pitch(a),
                  .b_pitch = pitch(b),
                  .c_pitch = pitch(c),
                  .rows = a.size(0),
                  .columns = c.size(1),
                  .packs = a.size(1) * dtype_size(a.dtype) / 16,
                  .alpha = o.alpha,
                  .bias_f32 = o.bias != nullptr && o.bias->dtype == DType::f32,
                  .early = !ctx.train};  // where nothing is trained, b is a parameter since the beginning
  with_type(a.dtype, [&]<class T>(Type<T>) {
    if (c.dtype == DType::f32)
      launch<T, float>(ctx, p);
    else
      launch<T, T>(ctx, p);
  });
}

}  // namespace trireme::cuda
