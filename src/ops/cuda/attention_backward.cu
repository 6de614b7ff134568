// Backward of attention in three kernels without atomics, so that sums have one order: delta = sum of dO * O; dq, a
// warp a query; dk and dv, a warp a key, over the query heads of its group in order.
#include "base/numeric.h"
#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/attention_tile.cuh"

namespace trireme::cuda {
namespace {

struct BackwardArgs {
  AttentionProblem problem;
  HeadsView dq, dk, dv, d_o, q, k, v, o;
  RowsView delta, lse;
  int64_t rows = 0;  // of q
  int heads = 0;
};

/// A warp a row and head.
__global__ void __launch_bounds__(kRowsOfBlock* kWarp) delta_kernel(const __grid_constant__ BackwardArgs a) {
  const int64_t item = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
  if (item >= a.rows * a.heads) return;
  const int64_t row = item / a.heads, head = item % a.heads;
  float sum = 0;
  for (int d = static_cast<int>(threadIdx.x) % kWarp; d < a.problem.head_size; d += kWarp)
    sum += a.d_o.get(row, head, d) * a.o.get(row, head, d);
  sum = reduce_lanes(sum);
  if (threadIdx.x % kWarp == 0) a.delta.at(row, head) = sum;
}

/// Block x: a run of queries of segment y, head z.
template <int kSlices>
__global__ void __launch_bounds__(kRowsOfBlock* kWarp) dq_kernel(const __grid_constant__ BackwardArgs a) {
  extern __shared__ float shared[];
  const AttentionProblem& p = a.problem;
  const Segment s = p.segments[blockIdx.y];
  const int head = static_cast<int>(blockIdx.z), kv_head = head / p.group, d_size = p.head_size;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int pitch = d_size | 1;
  float* keys = shared;
  float* values = keys + kWarp * pitch;
  float* query = values + kWarp * pitch + warp * 2 * d_size;
  float* gradient = query + d_size;

  const int64_t first = int64_t{blockIdx.x} * kRowsOfBlock;
  if (first >= s.q_len) return;
  const int64_t last = std::min<int64_t>(first + kRowsOfBlock, s.q_len) - 1, i = first + warp, row = s.q_begin + i;
  const bool mine = i <= last;
  const Range seen = mine ? visible_keys(s, p.causal, p.window, i) : Range{};
  const int64_t begin = visible_keys(s, p.causal, p.window, first).begin;
  const int64_t end = visible_keys(s, p.causal, p.window, last).end;
  float lse = 0, delta = 0;
  if (mine) {
    for (int d = lane; d < d_size; d += kWarp) {
      query[d] = a.q.get(row, head, d) * p.scale;
      gradient[d] = a.d_o.get(row, head, d);
    }
    lse = a.lse.at(row, head);
    delta = a.delta.at(row, head);
  }
  const RandomKey random = p.key(head);

  float dq[kSlices] = {};
  for (int64_t k = begin; k < end; k += kWarp) {
    __syncthreads();
    load_tile(keys, pitch, a.k, s.k_begin + k, s.k_begin + end, kv_head, d_size);
    load_tile(values, pitch, a.v, s.k_begin + k, s.k_begin + end, kv_head, d_size);
    __syncthreads();
    if (seen.begin >= k + kWarp || seen.end <= k) continue;
    const int64_t j = k + lane;
    float ds = 0;
    if (j >= seen.begin && j < seen.end) {
      const float probability = expf(dot(query, keys + lane * pitch, d_size) - lse);
      const float dp = dot(gradient, values + lane * pitch, d_size) * p.mask(random, s, i, j);
      ds = probability * (dp - delta);
    }
    for (int r = 0; r < kWarp; ++r) {
      const float w = __shfl_sync(kAllLanes, ds, r);
#pragma unroll
      for (int c = 0; c < kSlices; ++c)
        if (const int d = c * kWarp + lane; d < d_size) dq[c] += w * keys[r * pitch + d];
    }
  }
  if (!mine) return;
#pragma unroll
  for (int c = 0; c < kSlices; ++c)
    if (const int d = c * kWarp + lane; d < d_size) a.dq.set(row, head, d, dq[c] * p.scale);
}

/// The queries of the segment between the first and the last that see any of keys [begin, end).
__device__ Range queries_that_see(const AttentionProblem& p, const Segment& s, int64_t begin, int64_t end) {
  // A query sees keys up to its own position, and with a window none before position - window + 1.
  const int64_t shift = int64_t{s.k_pos} - s.q_pos;  // from a key's index to the query at its position
  const bool bounded = p.causal || p.window > 0;
  const int64_t first = bounded ? begin + shift : 0;
  const int64_t last = p.window > 0 ? end - 1 + shift + p.window : s.q_len;
  return {std::clamp<int64_t>(first, 0, s.q_len), std::clamp<int64_t>(last, 0, s.q_len)};
}

/// Block x: a run of keys of segment y, key-value head z.
template <int kSlices>
__global__ void __launch_bounds__(kRowsOfBlock* kWarp) dkv_kernel(const __grid_constant__ BackwardArgs a) {
  extern __shared__ float shared[];
  const AttentionProblem& p = a.problem;
  const Segment s = p.segments[blockIdx.y];
  const int kv_head = static_cast<int>(blockIdx.z), d_size = p.head_size;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int pitch = d_size | 1;
  float* queries = shared;
  float* gradients = queries + kWarp * pitch;
  float* key = gradients + kWarp * pitch + warp * 2 * d_size;
  float* value = key + d_size;

  const int64_t first = int64_t{blockIdx.x} * kRowsOfBlock;
  if (first >= s.k_len) return;
  const int64_t end = std::min<int64_t>(first + kRowsOfBlock, s.k_len), j = first + warp, row = s.k_begin + j;
  const bool mine = j < end;
  const Range range = queries_that_see(p, s, first, end);
  if (mine)
    for (int d = lane; d < d_size; d += kWarp) {
      key[d] = a.k.get(row, kv_head, d) * p.scale;
      value[d] = a.v.get(row, kv_head, d);
    }

  float dk[kSlices] = {}, dv[kSlices] = {};
  for (int head = kv_head * p.group; head < (kv_head + 1) * p.group; ++head) {
    const RandomKey random = p.key(head);
    for (int64_t q = range.begin; q < range.end; q += kWarp) {
      __syncthreads();
      load_tile(queries, pitch, a.q, s.q_begin + q, s.q_begin + range.end, head, d_size);
      load_tile(gradients, pitch, a.d_o, s.q_begin + q, s.q_begin + range.end, head, d_size);
      __syncthreads();
      const int64_t i = q + lane;
      const Range seen = i < range.end ? visible_keys(s, p.causal, p.window, i) : Range{};
      float weight = 0, ds = 0;
      if (mine && j >= seen.begin && j < seen.end) {
        const float probability = expf(dot(queries + lane * pitch, key, d_size) - a.lse.at(s.q_begin + i, head));
        const float mask = p.mask(random, s, i, j);
        const float dp = dot(gradients + lane * pitch, value, d_size) * mask;
        weight = probability * mask;
        ds = probability * (dp - a.delta.at(s.q_begin + i, head));
      }
      for (int r = 0; r < kWarp; ++r) {
        const float w = __shfl_sync(kAllLanes, weight, r), g = __shfl_sync(kAllLanes, ds, r);
#pragma unroll
        for (int c = 0; c < kSlices; ++c)
          if (const int d = c * kWarp + lane; d < d_size) {
            dv[c] += w * gradients[r * pitch + d];
            dk[c] += g * queries[r * pitch + d];
          }
      }
    }
  }
  if (!mine) return;
#pragma unroll
  for (int c = 0; c < kSlices; ++c)
    if (const int d = c * kWarp + lane; d < d_size) {
      a.dk.set(row, kv_head, d, dk[c] * p.scale);
      a.dv.set(row, kv_head, d, dv[c]);
    }
}

template <int kSlices>
void launch(const Ctx& ctx, const BackwardArgs& a, dim3 query_grid, dim3 key_grid) {
  constexpr unsigned kThreads = kRowsOfBlock * kWarp;
  const int d = a.problem.head_size;
  const int bytes = (2 * kWarp * tile_pitch(d) + 2 * kRowsOfBlock * d) * static_cast<int>(sizeof(float));
  const auto shared = static_cast<size_t>(bytes);
  const cudaFuncAttribute attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  check_cuda(cudaFuncSetAttribute(dq_kernel<kSlices>, attribute, bytes), "cudaFuncSetAttribute");
  check_cuda(cudaFuncSetAttribute(dkv_kernel<kSlices>, attribute, bytes), "cudaFuncSetAttribute");
  const auto items = narrow<unsigned>(ceil_div(a.rows * a.heads, kRowsOfBlock));
  delta_kernel<<<items, kThreads, 0, stream_of(ctx)>>>(a);
  if (query_grid.x > 0) dq_kernel<kSlices><<<query_grid, kThreads, shared, stream_of(ctx)>>>(a);
  if (key_grid.x > 0) dkv_kernel<kSlices><<<key_grid, kThreads, shared, stream_of(ctx)>>>(a);
  check_launch("attention_backward");
}

__global__ void clear_kernel(const __grid_constant__ HeadsView t, int64_t rows, int heads, int head_size) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * heads * head_size;
       i += int64_t{gridDim.x} * blockDim.x)
    t.set(i / head_size / heads, i / head_size % heads, static_cast<int>(i % head_size), 0.0F);
}

void clear(const Ctx& ctx, const Tensor& t) {
  if (t.numel() == 0) return;
  const auto blocks = narrow<unsigned>(std::min<int64_t>(ceil_div(t.numel(), 256), 4096));
  clear_kernel<<<blocks, 256, 0, stream_of(ctx)>>>(HeadsView(t), t.size(0), static_cast<int>(t.size(1)),
                                                   static_cast<int>(t.size(2)));
  check_launch("attention_backward");
}

}  // namespace

void attention_backward_kernel(Ctx& ctx, const AttentionGradients& g, const AttentionArgs& args,
                               const Segment* segments) {
  if (!segments_cover(args.segments, g.q.size(0), &Segment::q_begin, &Segment::q_len)) clear(ctx, g.dq);
  if (!segments_cover(args.segments, g.k.size(0), &Segment::k_begin, &Segment::k_len)) {
    clear(ctx, g.dk);
    clear(ctx, g.dv);
  }
  if (g.q.numel() == 0) return;
  int64_t queries = 0, keys = 0;
  for (const Segment& s : args.segments) {
    queries = std::max<int64_t>(queries, s.q_len);
    keys = std::max<int64_t>(keys, s.k_len);
  }
  const auto count = narrow<unsigned>(args.segments.size());
  const auto grid = [&](int64_t longest, int64_t heads) {
    return dim3(narrow<unsigned>(ceil_div(longest, kRowsOfBlock)), count, narrow<unsigned>(heads));
  };
  BackwardArgs a{AttentionProblem(ctx, args, g.q, g.k, segments),
                 HeadsView(g.dq),
                 HeadsView(g.dk),
                 HeadsView(g.dv),
                 HeadsView(g.d_o),
                 HeadsView(g.q),
                 HeadsView(g.k),
                 HeadsView(g.v),
                 HeadsView(g.o),
                 RowsView(g.delta),
                 RowsView(g.lse),
                 g.q.size(0),
                 static_cast<int>(g.q.size(1))};
  with_slices("attention_backward", g.q.size(2), [&]<int kSlices>(Slices<kSlices>) {
    launch<kSlices>(ctx, a, grid(queries, g.q.size(1)), grid(keys, g.k.size(1)));
  });
}

}  // namespace trireme::cuda
