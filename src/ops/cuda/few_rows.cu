// Where row_sweep.cu does not do it: a warp owns two rows of b, which are two columns of the result, and walks along
// both with eight packs a lane in flight; then it goes to another pair. The next packs are asked for before sums are
// added up, and the first ones before the kernel that computes a is done, so that the memory rests little.
#include "ops/cuda/few_rows.h"

#include <algorithm>

#include "base/numeric.h"
#include "ops/beside_product.h"
#include "ops/cuda/early.cuh"
#include "ops/cuda/few_rows.cuh"
#include "ops/cuda/logistic.cuh"
#include "ops/cuda/reduce.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kAtOnce = 4;                                   // packs of each of the two rows
constexpr int blocks(int rows) { return rows < 4 ? 3 : 2; }  // a multiprocessor: with fewer, too little is in flight
constexpr int kStep = kAtOnce * kWarp;
constexpr int kMostShared = 32 << 10;  // bytes of a that a block keeps to itself

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

/// Lane 2r + side has row r of the pair's column `side`. Sums begin anew.
template <class T, class Out, int kRows>
__device__ void finish(float (&sum)[kRows][2], const FewRows& p, int pair, int lane) {
  const int row = lane / 2, side = lane % 2, column = pair * p.step + side * p.apart;
  const bool has_one = row < p.rows && column < p.columns;
  float bias = 0, residual = 0, mine = 0;  // the first two are asked for before sums are added up
  if (has_one && p.bias != nullptr)
    bias = p.bias_f32 ? reinterpret_cast<const float*>(p.bias)[column]
                      : to_f32(reinterpret_cast<const T*>(p.bias)[column]);
  if (has_one && p.residual != nullptr)
    residual = to_f32(__ldcg(reinterpret_cast<const Out*>(p.residual + row * p.residual_pitch) + column));
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      const float total = reduce_lanes(sum[r][s]);
      if (row == r && side == s) mine = total;
      sum[r][s] = 0;
    }
  Out out = from_f32<Out>(fmaf(mine, p.alpha, bias));
  const float up = __shfl_down_sync(kAllLanes, to_f32(out), 1);
  if (!has_one) return;
  if (p.residual != nullptr) out = from_f32<Out>(residual + to_f32(out));
  reinterpret_cast<Out*>(p.c + row * p.c_pitch)[column] = out;
  if (p.act == nullptr || (side == 1 && !p.gelu)) return;
  const float act = p.gelu ? gelu(to_f32(out)) : swiglu(to_f32(out), up);
  reinterpret_cast<Out*>(p.act + row * p.act_pitch)[p.gelu ? column : pair] = from_f32<Out>(act);
}

/// a's rows into shared memory.
__device__ inline void keep_rows(uint4* rows, const FewRows& p) {
  for (int r = 0; r < p.rows; ++r)
    for (int i = static_cast<int>(threadIdx.x); i < p.packs; i += kThreads)
      rows[r * p.packs + i] = __ldcg(reinterpret_cast<const uint4*>(p.a + r * p.a_pitch) + i);
  __syncthreads();
}

template <class T, class Out, int kRows>
__global__ void __launch_bounds__(kThreads, blocks(kRows)) few_rows_kernel(const __grid_constant__ FewRows p) {
  extern __shared__ uint4 shared[];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  Place at{thread / kWarp * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x), 0};
  let_next_begin();

  Packs<T> raw[2][kAtOnce];
  const bool works = at.pair < p.pairs;
  [[maybe_unused]] RowNormAhead<kThreads> ahead;
  if constexpr (kRows == 1)
    if (p.norm.weight != nullptr) ahead.fetch(p.norm, p.packs);
  if (p.early && works) fetch<T>(raw, p, at, lane);
  wait_for_previous();
  if (!p.early && works) fetch<T>(raw, p, at, lane);
  if (p.shares) keep_rows(shared, p);
  if constexpr (kRows == 1)
    if (p.norm.weight != nullptr) norm_row<T, kThreads>(shared, p.packs, p.norm, ahead);
  const char* x = p.shares ? reinterpret_cast<const char*>(shared) : p.a;
  const int64_t x_pitch = p.shares ? int64_t{p.packs} * 16 : p.a_pitch;

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

/// What the activation goes to, or nullptr.
const Tensor* activation_of(const Tensor& c, const MatmulOptions& o) {
  return o.before_gelu != nullptr ? &c : o.swiglu;
}

}  // namespace

bool takes_few_rows(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool types = a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == DType::f32) &&
                     (o.bias == nullptr || o.bias->dtype == a.dtype || o.bias->dtype == DType::f32);
  const bool here = types && a.size(0) <= kFewRows && a.size(1) > 0 && o.transpose_b && !o.transpose_a &&
                    !o.accumulate && o.before_swiglu == nullptr && in_packs(a) && in_packs(b);
  if (!here || o.norm == nullptr) return here;
  return a.size(0) <= kNormedRows && a.bytes() <= kMostShared &&
         takes_row_norm(*o.norm, a.dtype, a.size(1) * dtype_size(a.dtype) / 16);
}

void few_rows_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const Tensor& product = product_of(c, o);
  const Tensor* act = activation_of(c, o);
  const int columns = narrow<int>(c.size(1)), packs = narrow<int>(a.size(1) * dtype_size(a.dtype) / 16);
  const bool gated = o.swiglu != nullptr;
  const FewRows p{.a = a.as<char>(),
                  .b = b.as<char>(),
                  .bias = o.bias == nullptr ? nullptr : o.bias->as<char>(),
                  .residual = o.residual == nullptr ? nullptr : o.residual->as<char>(),
                  .c = product.as<char>(),
                  .act = act == nullptr ? nullptr : act->as<char>(),
                  .a_pitch = pitch(a),
                  .b_pitch = pitch(b),
                  .c_pitch = pitch(product),
                  .act_pitch = act == nullptr ? 0 : pitch(*act),
                  .residual_pitch = o.residual == nullptr ? 0 : pitch(*o.residual),
                  .rows = narrow<int>(a.size(0)),
                  .columns = columns,
                  .packs = packs,
                  .pairs = (columns + 1) / 2,
                  .step = gated ? 1 : 2,
                  .apart = gated ? columns / 2 : 1,
                  .alpha = o.alpha,
                  .norm = o.norm == nullptr ? RowNorm() : RowNorm(*o.norm, packs),
                  .bias_f32 = o.bias != nullptr && o.bias->dtype == DType::f32,
                  .gelu = o.before_gelu != nullptr,
                  .shares = a.bytes() <= kMostShared,
                  .early = !ctx.train};  // where nothing is trained, b is a parameter since the beginning
  if (sweep_row(ctx, p, a.dtype, c.dtype)) return;
  with_type(a.dtype, [&]<class T>(Type<T>) {
    if (c.dtype == DType::f32)
      launch_rows<T, float>(ctx, p);
    else
      launch_rows<T, T>(ctx, p);
  });
}

}  // namespace trireme::cuda
