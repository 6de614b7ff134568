// Rotary positions, in place: a thread rotates the same channels of several heads of a token, whose angles it reads
// once.
#include "ops/cuda/rope.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kHeads = 4;  // a thread

struct Rope {
  Rows x;
  const int32_t* positions;
  const float* table;
  int64_t half, table_rows;
  int tokens, heads;
  int packs;        // of half a head
  int head_blocks;  // of kHeads
  float sign;
};

template <class T, int V>
__global__ void __launch_bounds__(kThreads) rope_kernel(const __grid_constant__ Rope a) {
  // In 32 bits: divisions in 64 take longer than everything else.
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int token = i / (a.packs * a.head_blocks);
  if (token >= a.tokens) return;
  const int rest = i % (a.packs * a.head_blocks);
  const int first_head = rest / a.packs * kHeads;
  const int64_t c = int64_t{rest % a.packs} * V;
  char* first_row = a.x.base + token * a.x.outer_stride + first_head * a.x.inner_stride;

  Pack<T, V> low[kHeads], high[kHeads];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (first_head + h >= a.heads) break;
    const char* row = first_row + h * a.x.inner_stride;
    low[h] = load<T, V>(a.x, row, c);
    high[h] = load<T, V>(a.x, row, a.half + c);
  }
  const int64_t position = a.positions[token];
  const bool known = position >= 0 && position < a.table_rows;
  const float* angles = a.table + (known ? position * 2 * a.half : 0);
  float cosine[V], sine[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    cosine[v] = known ? angles[c + v] : __int_as_float(0x7FC00000);
    sine[v] = a.sign * angles[a.half + c + v];
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (first_head + h >= a.heads) break;
    char* row = first_row + h * a.x.inner_stride;
    float from[2][V], to[2][V];
    unpack(low[h], from[0]);
    unpack(high[h], from[1]);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      to[0][v] = fmaf(-from[1][v], sine[v], from[0][v] * cosine[v]);
      to[1][v] = fmaf(from[0][v], sine[v], from[1][v] * cosine[v]);
    }
    store<T, V>(a.x, row, c, to[0]);
    store<T, V>(a.x, row, a.half + c, to[1]);
  }
}

template <class T, int V>
void launch(const Ctx& ctx, Rope a) {
  a.packs = narrow<int>(a.half / V);
  a.head_blocks = ceil_div(a.heads, kHeads);
  const int threads = narrow<int>(round_up(int64_t{a.tokens} * a.packs * a.head_blocks, kThreads));
  rope_kernel<T, V><<<static_cast<unsigned>(threads / kThreads), kThreads, 0, stream_of(ctx)>>>(a);
}

}  // namespace

void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse) {
  if (x.numel() == 0) return;
  const Rope a{.x = Rows(x),
               .positions = positions.i32(),
               .table = table.f32(),
               .half = x.size(2) / 2,
               .table_rows = table.size(0),
               .tokens = narrow<int>(x.size(0)),
               .heads = narrow<int>(x.size(1)),
               .sign = inverse ? -1.0F : 1.0F};
  const int width = x.dtype == DType::f32 ? 4 : 8;
  if (packs_fit(a.x, width) && a.half % width == 0)
    with_type(x.dtype, [&]<class T>(Type<T>) { launch<T, kWidth<T>>(ctx, a); });
  else
    launch<Any, 1>(ctx, a);
  check_launch("rope");
}

}  // namespace trireme::cuda
