#include "ops/cuda/linear_cross_entropy.h"

#include "ops/cuda/exp_logits_end.cuh"
#include "ops/cuda/map.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

struct RowArgs {
  float *loss, *factor, *target_logit, *above;
  int32_t* again;
  Rows g, x, weight;
  const float *partial, *weights;
  const int32_t* targets;
  int tiles;
  float scale;

  /// Of a row that has none, the nearest: its weight is 0.
  __device__ int64_t target(int64_t row) const { return min(max(int64_t{targets[row]}, int64_t{0}), weight.count - 1); }
};

/// A warp a row: x . W[target], where the product's references begin.
__global__ void __launch_bounds__(kThreads) target_logits(const __grid_constant__ RowArgs a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (row >= a.x.count) return;
  const char *x = a.x.row(row), *w = a.weight.row(a.target(row));
  constexpr int V = kWidth<Bf16>;
  float sum = 0;
#pragma unroll 4
  for (int64_t c = lane * V; c < a.x.cols; c += kWarp * V) {
    float of_x[V], of_w[V];
    unpack(load<Bf16, V>(a.x, x, c), of_x);
    unpack(load<Bf16, V>(a.weight, w, c), of_w);
#pragma unroll
    for (int i = 0; i < V; ++i) sum = fmaf(of_x[i], of_w[i], sum);
  }
  sum = reduce_lanes(sum);
  if (lane != 0) return;
  a.target_logit[row] = sum;
  a.above[row] = 0;
  if (row == 0) *a.again = 0;
}

/// A block has a warp's width of rows, whose partial sums its warps share.
__global__ void __launch_bounds__(kThreads) finish_rows(const __grid_constant__ RowArgs a) {
  __shared__ float of_warps[kWarps][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t n = a.g.count, row = int64_t{blockIdx.x} * kWarp + lane;
  float sum = 0;
  if (row < n) {
#pragma unroll 8
    for (int t = warp; t < a.tiles; t += kWarps) sum += a.partial[t * n + row];
  }
  of_warps[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || row >= n) return;
  float others = 0;
#pragma unroll
  for (const auto& of_warp : of_warps) others += of_warp[lane];
  // What log1p gives of a well predicted token, log of the sum would lose.
  const float logit = a.target_logit[row], shift = logit + a.above[row] - logit;
  const float own = expf(-shift), weight = a.weights[row];
  a.loss[row] = shift == 0 ? log1pf(others) : shift + logf(own + others);
  a.factor[row] = weight == 0 ? 0 : a.scale * weight / (own + others);
  reinterpret_cast<Bf16*>(a.g.row(row))[a.target(row)] = from_f32<Bf16>(-others);
}

struct ScaleRows {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = true;
  const float* factor;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t row, int64_t) const {
    const float f = factor[row];
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = f == 0 ? 0 : x[0][i] * f;
  }
};

}  // namespace

bool has_linear_cross_entropy(const CudaContext& context, const LinearCrossEntropy& a) {
  return has_boxes(a.x) && has_boxes(a.weight) && has_tile_product<ExpLogits>(context);
}

void linear_cross_entropy(Ctx& ctx, const LinearCrossEntropy& a, const CrossEntropyParts& parts) {
  const char* op = "linear_cross_entropy";
  const RowArgs rows{.loss = a.loss.f32(),
                     .factor = parts.factor.f32(),
                     .target_logit = parts.target_logit.f32(),
                     .above = parts.above.f32(),
                     .again = parts.again.i32(),
                     .g = Rows(parts.g),
                     .x = Rows(a.x),
                     .weight = Rows(a.weight),
                     .partial = parts.partial.f32(),
                     .weights = a.weights.f32(),
                     .targets = a.targets.i32(),
                     .tiles = narrow<int>(parts.partial.size(0)),
                     .scale = a.scale};
  const int64_t n = a.x.size(0);
  target_logits<<<narrow<int>(ceil_div(n, kWarps)), kThreads, 0, stream_of(ctx)>>>(rows);
  check_launch(op);
  ExpLogits::Args args{.g = map_of(parts.g, 128),
                       .partial = parts.partial.f32(),
                       .above = rows.above,
                       .again = rows.again,
                       .target_logit = rows.target_logit,
                       .targets = rows.targets,
                       .rows = narrow<int>(n),
                       .cols = narrow<int>(a.weight.size(0)),
                       .second = false};
  for (const bool second : {false, true}) {
    args.second = second;
    launch_tiles<ExpLogits>(ctx, op, a.x, {a.weight, a.weight}, a.weight.size(0), args);
  }
  finish_rows<<<narrow<int>(ceil_div(n, kWarp)), kThreads, 0, stream_of(ctx)>>>(rows);
  check_launch(op);
}

void scale_rows(Ctx& ctx, const Tensor& y, const Tensor& x, const Tensor& factor) {
  map<ScaleRows>(ctx, "scale_rows", {y}, {x}, {factor.f32()});
}

}  // namespace trireme::cuda
