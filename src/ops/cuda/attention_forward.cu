// Forward of attention with a running softmax, a warp a query.
#include "base/numeric.h"
#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/attention_tile.cuh"

namespace trireme::cuda {
namespace {

struct ForwardArgs {
  AttentionProblem problem;
  HeadsView o, q, k, v;
  RowsView lse;
};

/// Block x: a run of queries of segment y, head z. kSlices x 32 channels at most.
template <int kSlices>
__global__ void __launch_bounds__(kRowsOfBlock* kWarp) forward_kernel(const __grid_constant__ ForwardArgs a) {
  extern __shared__ float shared[];
  const AttentionProblem& p = a.problem;
  const Segment s = p.segments[blockIdx.y];
  const int head = static_cast<int>(blockIdx.z), kv_head = head / p.group, d_size = p.head_size;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int pitch = d_size | 1;
  float* keys = shared;
  float* values = keys + kWarp * pitch;
  float* query = values + kWarp * pitch + warp * d_size;

  const int64_t first = int64_t{blockIdx.x} * kRowsOfBlock;
  if (first >= s.q_len) return;
  const int64_t last = std::min<int64_t>(first + kRowsOfBlock, s.q_len) - 1, i = first + warp;
  const bool mine = i <= last;
  const Range seen = mine ? visible_keys(s, p.causal, p.window, i) : Range{};
  const int64_t begin = visible_keys(s, p.causal, p.window, first).begin;
  const int64_t end = visible_keys(s, p.causal, p.window, last).end;
  if (mine)
    for (int d = lane; d < d_size; d += kWarp) query[d] = a.q.get(s.q_begin + i, head, d) * p.scale;
  const RandomKey random = p.key(head);

  float out[kSlices] = {};
  float top = -INFINITY, sum = 0;
  for (int64_t k = begin; k < end; k += kWarp) {
    __syncthreads();
    load_tile(keys, pitch, a.k, s.k_begin + k, s.k_begin + end, kv_head, d_size);
    load_tile(values, pitch, a.v, s.k_begin + k, s.k_begin + end, kv_head, d_size);
    __syncthreads();
    if (seen.begin >= k + kWarp || seen.end <= k) continue;
    const int64_t j = k + lane;
    const bool sees = j >= seen.begin && j < seen.end;
    const float score = sees ? dot(query, keys + lane * pitch, d_size) : -INFINITY;
    const float new_top = fmaxf(top, reduce_lanes(score, kWarp, Maximum()));
    const float probability = sees ? expf(score - new_top) : 0.0F;
    const float factor = top == new_top ? 1.0F : expf(top - new_top);
    sum = sum * factor + reduce_lanes(probability);
    top = new_top;
    const float weight = sees ? probability * p.mask(random, s, i, j) : 0.0F;
#pragma unroll
    for (int c = 0; c < kSlices; ++c) out[c] *= factor;
    for (int r = 0; r < kWarp; ++r) {
      const float w = __shfl_sync(kAllLanes, weight, r);
#pragma unroll
      for (int c = 0; c < kSlices; ++c)
        if (const int d = c * kWarp + lane; d < d_size) out[c] += w * values[r * pitch + d];
    }
  }
  if (!mine) return;
  const bool any = !(sum <= 0);  // NaN counts as seen
  const float factor = any ? 1.0F / sum : 0.0F;
#pragma unroll
  for (int c = 0; c < kSlices; ++c)
    if (const int d = c * kWarp + lane; d < d_size) a.o.set(s.q_begin + i, head, d, out[c] * factor);
  if (lane == 0) a.lse.at(s.q_begin + i, head) = any ? top + logf(sum) : -INFINITY;
}

template <int kSlices>
void launch(const Ctx& ctx, const ForwardArgs& a, dim3 grid) {
  const int d = a.problem.head_size;
  const int bytes = (2 * kWarp * tile_pitch(d) + kRowsOfBlock * d) * static_cast<int>(sizeof(float));
  check_cuda(cudaFuncSetAttribute(forward_kernel<kSlices>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             "cudaFuncSetAttribute");
  forward_kernel<kSlices><<<grid, kRowsOfBlock * kWarp, static_cast<size_t>(bytes), stream_of(ctx)>>>(a);
  check_launch("attention_forward");
}

}  // namespace

void attention_forward_kernel(Ctx& ctx, const Tensor& o, const Tensor& lse, const Tensor& q, const Tensor& k,
                              const Tensor& v, const AttentionArgs& args, const Segment* segments) {
  int64_t longest = 0;
  for (const Segment& s : args.segments) longest = std::max<int64_t>(longest, s.q_len);
  if (longest == 0) return;
  const ForwardArgs a{AttentionProblem(ctx, args, q, k, segments),
                      HeadsView(o),
                      HeadsView(q),
                      HeadsView(k),
                      HeadsView(v),
                      RowsView(lse)};
  const dim3 grid(narrow<unsigned>(ceil_div(longest, kRowsOfBlock)), narrow<unsigned>(args.segments.size()),
                  narrow<unsigned>(q.size(1)));
  with_slices("attention_forward", q.size(2), [&]<int kSlices>(Slices<kSlices>) { launch<kSlices>(ctx, a, grid); });
}

}  // namespace trireme::cuda
