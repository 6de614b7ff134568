// Rotary positions, in place: a thread rotates the same channels of several heads of a token, whose angles it reads
// once.
#include "ops/cuda/rope.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/sum_rows.h"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kHeads = 4;   // a thread
constexpr int kTokens = 2;  // at once, where it walks over them

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

/// The angles of V channels from c on. NaN where the position is not in the table.
template <int V>
struct Angles {
  __device__ Angles(const Rope& a, int token, int64_t c) {
    const int64_t position = a.positions[token];
    const bool known = position >= 0 && position < a.table_rows;
    const float* angles = a.table + (known ? position * 2 * a.half : 0) + c;
    constexpr int kAtOnce = V % 4 == 0 ? 4 : 1;  // whole packs lie at multiples of 16 bytes
#pragma unroll
    for (int v = 0; v < V; v += kAtOnce) {
      const auto cosines = *reinterpret_cast<const Pack<float, kAtOnce>*>(angles + v);
      const auto sines = *reinterpret_cast<const Pack<float, kAtOnce>*>(angles + a.half + v);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        cosine[v + i] = known ? __uint_as_float(cosines.words[i]) : __int_as_float(0x7FC00000);
        sine[v + i] = a.sign * __uint_as_float(sines.words[i]);
      }
    }
  }
  __device__ void rotate(float (&low)[V], float (&high)[V]) const {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float from = low[v];
      low[v] = fmaf(-high[v], sine[v], from * cosine[v]);
      high[v] = fmaf(from, sine[v], high[v] * cosine[v]);
    }
  }
  float cosine[V], sine[V];
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
  const Angles<V> angles(a, token, c);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (first_head + h >= a.heads) break;
    char* row = first_row + h * a.x.inner_stride;
    float turned[2][V];
    unpack(low[h], turned[0]);
    unpack(high[h], turned[1]);
    angles.rotate(turned[0], turned[1]);
    store<T, V>(a.x, row, c, turned[0]);
    store<T, V>(a.x, row, a.half + c, turned[1]);
  }
}

/// A thread keeps its channels and walks over a run of tokens, and leaves their sums in a row of `partial`.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 3) rope_sums_kernel(const __grid_constant__ Rope a, float* partial) {
  const int pair = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int head = pair / a.packs;
  if (head >= a.heads) return;
  const int64_t c = int64_t{pair % a.packs} * V;
  const int part = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  const int parts = static_cast<int>(gridDim.y * blockDim.y);
  const auto first = static_cast<int>(part_begin(a.tokens, parts, part));
  const auto end = static_cast<int>(part_begin(a.tokens, parts, part + 1));
  char* at = a.x.base + first * a.x.outer_stride + head * a.x.inner_stride;
  float low_sum[V] = {}, high_sum[V] = {};
  const auto turn = [&](int token, char* row, const Pack<T, V>& raw_low, const Pack<T, V>& raw_high) {
    float low[V], high[V];
    unpack(raw_low, low);
    unpack(raw_high, high);
    Angles<V>(a, token, c).rotate(low, high);
    store<T, V>(a.x, row, c, low);
    store<T, V>(a.x, row, a.half + c, high);
#pragma unroll
    for (int v = 0; v < V; ++v) low_sum[v] += low[v], high_sum[v] += high[v];
  };
  int token = first;
  for (; token + kTokens <= end; token += kTokens, at += kTokens * a.x.outer_stride) {
    Pack<T, V> low[kTokens], high[kTokens];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      low[t] = load<T, V>(a.x, at + t * a.x.outer_stride, c);
      high[t] = load<T, V>(a.x, at + t * a.x.outer_stride, a.half + c);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) turn(token + t, at + t * a.x.outer_stride, low[t], high[t]);
  }
  for (; token < end; ++token, at += a.x.outer_stride)
    turn(token, at, load<T, V>(a.x, at, c), load<T, V>(a.x, at, a.half + c));
  float* sums = partial + (int64_t{part} * a.heads + head) * 2 * a.half + c;
#pragma unroll
  for (int v = 0; v < V; ++v) sums[v] = low_sum[v], sums[a.half + v] = high_sum[v];
}

template <class T, int V>
void launch(const Ctx& ctx, Rope a) {
  a.packs = narrow<int>(a.half / V);
  a.head_blocks = ceil_div(a.heads, kHeads);
  const int threads = narrow<int>(round_up(int64_t{a.tokens} * a.packs * a.head_blocks, kThreads));
  rope_kernel<T, V><<<static_cast<unsigned>(threads / kThreads), kThreads, 0, stream_of(ctx)>>>(a);
}

Rope rope_of(const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse) {
  return {.x = Rows(x),
          .positions = positions.i32(),
          .table = table.f32(),
          .half = x.size(2) / 2,
          .table_rows = table.size(0),
          .tokens = narrow<int>(x.size(0)),
          .heads = narrow<int>(x.size(1)),
          .sign = inverse ? -1.0F : 1.0F};
}

}  // namespace

void rope_with_sums(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse,
                    const Tensor& sums, const Tensor& partial) {
  if (x.numel() == 0) return;
  Rope a = rope_of(x, positions, table, inverse);
  const RopeGrid g(x);
  const dim3 grid(narrow<unsigned>(g.columns), narrow<unsigned>(g.blocks));
  const dim3 block(narrow<unsigned>(g.threads), narrow<unsigned>(g.rows));
  const auto run = [&]<class T>(Type<T>) {
    a.packs = narrow<int>(a.half / kWidth<T>);
    rope_sums_kernel<T, kWidth<T>><<<grid, block, 0, stream_of(ctx)>>>(a, partial.f32());
  };
  x.dtype == DType::bf16 ? run(Type<Bf16>()) : run(Type<F16>());
  check_launch("rope");
  add_rows(ctx, {{sums, partial}});
}

void rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const Tensor& table, bool inverse) {
  if (x.numel() == 0) return;
  const Rope a = rope_of(x, positions, table, inverse);
  const int width = x.dtype == DType::f32 ? 4 : 8;
  if (packs_fit(a.x, width) && a.half % width == 0 && reinterpret_cast<uintptr_t>(a.table) % 16 == 0)
    with_type(x.dtype, [&]<class T>(Type<T>) { launch<T, kWidth<T>>(ctx, a); });
  else
    launch<Any, 1>(ctx, a);
  check_launch("rope");
}

}  // namespace trireme::cuda
