// Cross-entropy of whole rows: loss and gradient in one pass. A cluster of blocks takes a row, so that its parts are
// few enough bytes for several blocks a processor, and keeps it in shared memory, where a copy engine brings it: logits
// are read from memory once and written once, and one block computes while others move memory. Rows that no cluster can
// hold, or not in whole packs, are read again for the gradient, from the L2 where it can hold them.
#include <bit>

#include "base/numeric.h"
#include "ops/cuda/ahead.cuh"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/logits.cuh"
#include "ops/cuda/loss.h"

namespace trireme::cuda {
namespace {

constexpr int kRowThreads = 1024;  // where rows are read twice: few at a time, so that the L2 holds them
constexpr int kRowBlocks = kProcessorThreads / kRowThreads;  // a processor, at most
constexpr int kPartThreads = 128, kPartWarps = kPartThreads / kWarp;
constexpr int kPartBlocks = 8;  // a processor, where a part is small enough: many, to be at different stages
constexpr int kLeastPartBlocks = 3;
constexpr int kMaxCluster = 8;
static_assert(kMaxCluster * kPartWarps <= kWarp, "a lane for each warp of a cluster");

struct CrossEntropy {
  float* loss;
  Rows logits;
  const int32_t* targets;
  const float* weights;
  float scale;

  template <class T>
  __device__ float target_logit(const T* x, int64_t target) const {
    return target >= 0 && target < logits.cols ? to_f32(x[target]) : 0.0F;
  }
  /// `first`: in one thread of those that call it for a row.
  __device__ LogitGradient finish(int64_t row, const Stats& s, float target_logit, bool first) const {
    const float log_sum = logf(s.sum);
    if (first) loss[row] = (s.max - target_logit) + log_sum;
    return {s.max + log_sum, scale * weights[row], targets[row]};
  }
};

template <class T>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks) row_kernel(const __grid_constant__ CrossEntropy a) {
  const int64_t row = blockIdx.x;
  auto* x = reinterpret_cast<T*>(a.logits.row(row));
  const float target_logit = a.target_logit(x, a.targets[row]);
  const Stats s = row_stats<2>(x, a.logits.cols, kRowThreads);  // synchronises: all have read the target's logit
  write_gradient<2>(x, a.logits.cols, kRowThreads, a.finish(row, s, target_logit, threadIdx.x == 0));
}

/// What a thread sees of `count` packs. The maximum comes first, of elements as they are: then it takes an instruction
/// for two of them, and no sum is ever scaled again.
template <class T, int V>
__device__ Stats stats_of_packs(const Pack<T, V>* packs, int count) {
  float values[V];
#pragma unroll
  for (int i = 0; i < V; ++i) values[i] = minus_infinity();
  Pack<T, V> largest = pack<T>(values);
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kPartThreads) {
    const Pack<T, V> raw = packs[i];
#pragma unroll
    for (int w = 0; w < 4; ++w) largest.words[w] = larger_of<T>(largest.words[w], raw.words[w]);
  }
  unpack(largest, values);
  Stats s;
#pragma unroll
  for (int i = 0; i < V; ++i) s.max = fmaxf(s.max, values[i]);
  const float offset = offset_of(s.max);
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kPartThreads) {
    unpack(packs[i], values);
    s.sum += sum_of_exp(values, offset);
  }
  return s;
}

/// How rows are dealt out: to clusters of 2^log2_parts blocks, all of which but the last have part_packs packs.
struct Parts {
  int log2_parts, part_packs;
};

template <class T>
__global__ void __launch_bounds__(kPartThreads, kPartBlocks)
    part_kernel(const __grid_constant__ CrossEntropy a, const Parts deal) {
  constexpr int V = kWidth<T>;
  extern __shared__ uint4 part[];
  __shared__ float2 of_warps[kMaxCluster * kPartWarps];  // of the whole cluster
  __shared__ uint64_t arrival;
  arrive_in_cluster();
  const auto thread = static_cast<int>(threadIdx.x);
  const int parts = 1 << deal.log2_parts, packs = static_cast<int>(a.logits.cols / V);
  const int rank = static_cast<int>(blockIdx.x) & (parts - 1);
  const int64_t row = static_cast<int>(blockIdx.x) >> deal.log2_parts;
  const int first = min(packs, rank * deal.part_packs);
  const int count = min(packs - first, deal.part_packs);
  char* to = a.logits.base + row * a.logits.outer_stride;
  if (thread == 0) start_run(&arrival, part, to + int64_t{first} * 16, count * 16);
  // What is no whole pack the last block keeps in registers.
  auto* x = reinterpret_cast<T*>(to);
  const int64_t rest = int64_t{packs} * V + thread;
  const bool has_rest = rank == parts - 1 && rest < a.logits.cols;
  float of_rest[1] = {has_rest ? to_f32(x[rest]) : minus_infinity()};
  const bool first_of_row = rank == 0 && thread == 0;
  const float target_logit = first_of_row ? a.target_logit(x, a.targets[row]) : 0.0F;
  __syncthreads();
  wait_for_run(&arrival);

  const auto* raw = reinterpret_cast<const Pack<T, V>*>(part);
  Stats own = stats_of_packs(raw, count);
  if (has_rest) add_logits(own, of_rest);
  own = reduce_stats(own);
  wait_for_cluster();  // all have begun
  const int lane = thread % kWarp, warp = thread / kWarp;
  if (lane < parts) store_in_block(of_warps + rank * kPartWarps + warp, lane, {own.max, own.sum});
  arrive_in_cluster();
  wait_for_cluster();  // and have read the logits, the target's too
  const Stats all = reduce_stats(stats_at(of_warps, parts * kPartWarps));

  const LogitGradient gradient = a.finish(row, all, target_logit, first_of_row);
  const auto put = [&](int i, auto become_gradient) {
    float values[V];
    unpack(raw[i], values);
    become_gradient(values);
    store<T, V>(a.logits, to, (int64_t{first} + i) * V, values);
  };
#pragma unroll 2
  for (int i = thread; i < count; i += kPartThreads) put(i, [&](auto& values) { gradient.scale(values); });
  // The target's pack again, so that no other has to be compared.
  if (const int64_t i = gradient.target / V - first; i >= 0 && i < count && i % kPartThreads == thread)
    put(static_cast<int>(i), [&](auto& values) { gradient.apply(values, (first + i) * V); });
  gradient.apply(of_rest, rest);
  if (has_rest) x[rest] = from_f32<T>(of_rest[0]);
}

int64_t part_bytes(const Rows& rows, int parts) {
  return ceil_div(rows.cols * dtype_size(rows.dtype) / 16, parts) * 16;
}

/// Blocks a row, so that kPartBlocks fit a processor, or as many as can; 0 where no cluster holds a row in whole packs.
int parts_of(const CudaContext& gpu, const Rows& rows) {
  constexpr int kReserved = 1024, kFixed = 512;  // of a block's shared memory: by CUDA, and by the kernel
  const int width = 16 / narrow<int>(dtype_size(rows.dtype));
  Rows packs = rows;
  packs.cols -= packs.cols % width;
  if (gpu.capability_major() < 9 || !packs_fit(packs, width)) return 0;
  const auto fits = [&](int parts, int blocks) {
    return part_bytes(rows, parts) <= (gpu.max_shared_bytes() + kReserved) / blocks - kReserved - kFixed;
  };
  for (int parts = 1; parts <= kMaxCluster; parts *= 2)
    if (fits(parts, kPartBlocks)) return parts;
  return fits(kMaxCluster, kLeastPartBlocks) ? kMaxCluster : 0;
}

template <class T>
void launch_parts(const Ctx& ctx, const CrossEntropy& a, int parts) {
  const int bytes = narrow<int>(part_bytes(a.logits, parts));
  const Parts deal{.log2_parts = std::countr_zero(static_cast<unsigned>(parts)), .part_packs = bytes / 16};
  check_cuda(cudaFuncSetAttribute(part_kernel<T>, cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared),
             "cross_entropy");
  launch_clusters(ctx, "cross_entropy",
                  {.blocks = static_cast<unsigned>(narrow<int>(a.logits.count * parts)),
                   .cluster = static_cast<unsigned>(parts),
                   .threads = kPartThreads,
                   .shared_bytes = bytes},
                  part_kernel<T>, a, deal);
}

template <class T>
void launch_rows(const Ctx& ctx, const CrossEntropy& a) {
  // Rows that would push each other out of the L2 between the passes come one a processor: shared memory that nobody
  // uses keeps a second block away.
  const CudaContext& gpu = *ctx.cuda;
  const int64_t in_flight = kRowBlocks * gpu.multiprocessors() * a.logits.cols * dtype_size(a.logits.dtype);
  const int unused = in_flight > gpu.l2_bytes() * int64_t{2} / 3 ? gpu.max_shared_bytes() / 2 + 1024 : 0;
  check_cuda(cudaFuncSetAttribute(row_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, unused), "cross_entropy");
  row_kernel<T><<<narrow<int>(a.logits.count), kRowThreads, static_cast<size_t>(unused), stream_of(ctx)>>>(a);
}

}  // namespace

void cross_entropy(Ctx& ctx, const Tensor& loss, const Tensor& logits, const Tensor& targets, const Tensor& weights,
                   float scale) {
  const CrossEntropy a{loss.f32(), Rows(logits), targets.i32(), weights.f32(), scale};
  if (a.logits.count == 0) return;
  const int parts = parts_of(*ctx.cuda, a.logits);
  with_type(logits.dtype, [&]<class T>(Type<T>) {
    if (parts > 0)
      launch_parts<T>(ctx, a, parts);
    else
      launch_rows<T>(ctx, a);
  });
  check_launch("cross_entropy");
}

}  // namespace trireme::cuda
