// A warp owns two rows of b, which are two columns of the result, and walks along both with eight packs a lane in
// flight; then it goes to another pair. The next packs are asked for before sums are added up, and the first ones
// before the kernel that computes a is done, so that the memory rests little.
#include "ops/cuda/few_rows.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/cuda/early.cuh"
#include "ops/cuda/logistic.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kAtOnce = 4;                                   // packs of each of the two rows
constexpr int blocks(int rows) { return rows < 4 ? 3 : 2; }  // a multiprocessor: with fewer, too little is in flight
constexpr int kStep = kAtOnce * kWarp;
constexpr int kMostShared = 32 << 10;  // bytes of a that a block keeps to itself

struct FewRows {
  const char *a, *b, *bias;
  char *c, *act;                                 // act: null, or SwiGLU of c's halves
  int64_t a_pitch, b_pitch, c_pitch, act_pitch;  // bytes
  int rows, columns, packs;                      // of c; packs of a row of b
  int pairs, step, apart;                        // pair i: columns i * step and i * step + apart
  float alpha;
  bool bias_f32;
  bool shares;  // a's rows fit into the block's memory
  bool early;   // b was there long before
};

/// Where a warp is: packs [first, first + kStep) of the rows of a pair.
struct Place {
  int pair, first;
  __device__ void advance(const FewRows& p) {
    first += kStep;
    if (first < p.packs) return;
    first = 0;
    pair += static_cast<int>(gridDim.x) * kWarps;
  }
};

template <class T>
using Packs = Pack<T, kWidth<T>>;

/// The row of b for column `side` of a pair; of a last pair that is none, a row that is there.
__device__ inline const char* row_of(const FewRows& p, int pair, int side) {
  return p.b + min(pair * p.step + side * p.apart, p.columns - 1) * p.b_pitch;
}

/// Read once: not to push a's rows out of the L1.
template <class T>
__device__ void fetch(Packs<T> (&raw)[2][kAtOnce], const FewRows& p, const Place& at, int lane) {
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    const auto* from = reinterpret_cast<const uint4*>(row_of(p, at.pair, side));
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int i = at.first + u * kWarp + lane;
      const uint4 words = i < p.packs ? __ldcs(from + i) : uint4{};
      raw[side][u] = {{words.x, words.y, words.z, words.w}};
    }
  }
}

template <class T, int kRows>
__device__ void multiply(float (&sum)[kRows][2], const Packs<T> (&raw)[2][kAtOnce], const FewRows& p, int first,
                         const char* x, int64_t x_pitch) {
  constexpr int V = kWidth<T>;
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    float w[2][V];
    unpack(raw[0][u], w[0]);
    unpack(raw[1][u], w[1]);
    const int i = first + u * kWarp;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const char* row = x + (r < p.rows ? r : 0) * x_pitch;
      Packs<T> there = {};
      if (i < p.packs) there = reinterpret_cast<const Packs<T>*>(row)[i];
      float v[V];
      unpack(there, v);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        sum[r][0] = fmaf(w[0][k], v[k], sum[r][0]);
        sum[r][1] = fmaf(w[1][k], v[k], sum[r][1]);
      }
    }
  }
}

template <class T, class Out, int kRows>
__device__ void finish(float (&sum)[kRows][2], const FewRows& p, int pair, int lane) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    Out out[2] = {};
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const float total = reduce_lanes(sum[r][side]);
      sum[r][side] = 0;
      const int column = pair * p.step + side * p.apart;
      if (lane != 0 || column >= p.columns || r >= p.rows) continue;
      float bias = 0;
      if (p.bias != nullptr)
        bias = p.bias_f32 ? reinterpret_cast<const float*>(p.bias)[column]
                          : to_f32(reinterpret_cast<const T*>(p.bias)[column]);
      out[side] = from_f32<Out>(fmaf(total, p.alpha, bias));
      reinterpret_cast<Out*>(p.c + r * p.c_pitch)[column] = out[side];
    }
    if (p.act == nullptr || lane != 0 || r >= p.rows) continue;
    reinterpret_cast<Out*>(p.act + r * p.act_pitch)[pair] = from_f32<Out>(swiglu(to_f32(out[0]), to_f32(out[1])));
  }
}

template <class T, class Out, int kRows>
__global__ void __launch_bounds__(kThreads, blocks(kRows)) few_rows_kernel(const __grid_constant__ FewRows p) {
  extern __shared__ uint4 shared[];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  Place at{thread / kWarp * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x), 0};
  let_next_begin();

  Packs<T> raw[2][kAtOnce];
  const bool works = at.pair < p.pairs;
  if (p.early && works) fetch<T>(raw, p, at, lane);
  wait_for_previous();
  if (!p.early && works) fetch<T>(raw, p, at, lane);
  const char* x = p.a;
  int64_t x_pitch = p.a_pitch;
  if (p.shares) {
    for (int r = 0; r < p.rows; ++r)
      for (int i = thread; i < p.packs; i += kThreads)
        shared[r * p.packs + i] = __ldcg(reinterpret_cast<const uint4*>(p.a + r * p.a_pitch) + i);
    __syncthreads();
    x = reinterpret_cast<const char*>(shared);
    x_pitch = int64_t{p.packs} * 16;
  }

  float sum[kRows][2] = {};
  while (at.pair < p.pairs) {
    multiply<T, kRows>(sum, raw, p, at.first + lane, x, x_pitch);
    const int pair = at.pair;
    at.advance(p);
    if (at.pair < p.pairs) fetch<T>(raw, p, at, lane);
    if (at.pair != pair) finish<T, Out, kRows>(sum, p, pair, lane);
  }
}

template <class T, class Out, int kRows>
void launch(const Ctx& ctx, const FewRows& p) {
  const int all = (p.pairs + kWarps - 1) / kWarps;
  const dim3 grid(static_cast<unsigned>(std::min(all, ctx.cuda->multiprocessors() * blocks(kRows))));
  launch_early(ctx, few_rows_kernel<T, Out, kRows>, grid, kThreads, p, p.shares ? p.rows * p.packs * 16 : 0);
}

template <class T, class Out>
void launch_rows(const Ctx& ctx, const FewRows& p) {
  if (p.rows == 1) return launch<T, Out, 1>(ctx, p);
  if (p.rows == 2) return launch<T, Out, 2>(ctx, p);
  launch<T, Out, 4>(ctx, p);
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
  return types && a.size(0) <= 4 && a.size(1) > 0 && o.transpose_b && !o.transpose_a && !o.accumulate && in_packs(a) &&
         in_packs(b);
}

void few_rows_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const int columns = narrow<int>(c.size(1));
  const bool gated = o.swiglu != nullptr;
  const FewRows p{.a = a.as<char>(),
                  .b = b.as<char>(),
                  .bias = o.bias == nullptr ? nullptr : o.bias->as<char>(),
                  .c = c.as<char>(),
                  .act = gated ? o.swiglu->as<char>() : nullptr,
                  .a_pitch = pitch(a),
                  .b_pitch = pitch(b),
                  .c_pitch = pitch(c),
                  .act_pitch = gated ? pitch(*o.swiglu) : 0,
                  .rows = narrow<int>(a.size(0)),
                  .columns = columns,
                  .packs = narrow<int>(a.size(1) * dtype_size(a.dtype) / 16),
                  .pairs = (columns + 1) / 2,
                  .step = gated ? 1 : 2,
                  .apart = gated ? columns / 2 : 1,
                  .alpha = o.alpha,
                  .bias_f32 = o.bias != nullptr && o.bias->dtype == DType::f32,
                  .shares = a.bytes() <= kMostShared,
                  .early = !ctx.train};  // where nothing is trained, b is a parameter since the beginning
  with_type(a.dtype, [&]<class T>(Type<T>) {
    if (c.dtype == DType::f32)
      launch_rows<T, float>(ctx, p);
    else
      launch_rows<T, T>(ctx, p);
  });
}

}  // namespace trireme::cuda
