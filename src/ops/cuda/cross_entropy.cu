// Cross-entropy of whole rows: loss and gradient in one pass. A cluster of blocks takes a row, so that its parts are
// few enough bytes for several blocks a processor, and keeps it in shared memory: logits are read from memory once and
// written once, and one block computes while others move memory. Rows that no cluster can hold, or not in whole packs,
// are read again for the gradient, from the L2 where it can hold them.
#include "base/numeric.h"
#include "ops/cuda/ahead.cuh"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/logits.cuh"
#include "ops/cuda/loss.h"

namespace trireme::cuda {
namespace {

constexpr int kRowThreads = 1024;  // where rows are read twice: few at a time, so that the L2 holds them
constexpr int kRowBlocks = 2;      // a processor, at most
constexpr int kPartThreads = 512;
constexpr int kPartBlocks = 3;  // a processor
constexpr int kMaxCluster = 8;

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

/// `parts` blocks a row, a cluster.
template <class T>
__global__ void __launch_bounds__(kPartThreads, kPartBlocks)
    part_kernel(const __grid_constant__ CrossEntropy a, int parts) {
  constexpr int V = kWidth<T>;
  extern __shared__ uint4 part[];
  __shared__ float slots[2][kWarp];
  __shared__ float2 of_parts[kMaxCluster];
  arrive_in_cluster();
  const auto thread = static_cast<int>(threadIdx.x);
  const int rank = static_cast<int>(blockIdx.x) % parts, packs = static_cast<int>(a.logits.cols / V);
  const int64_t row = static_cast<int>(blockIdx.x) / parts;
  const auto first = static_cast<int>(part_begin(packs, parts, rank));
  const int count = static_cast<int>(part_begin(packs, parts, rank + 1)) - first;
  char* to = a.logits.row(row);
  for (int i = thread; i < count; i += kPartThreads) copy_ahead(part + i, to + (int64_t{first} + i) * 16);
  end_of_row();
  // What is no whole pack the last block keeps in registers.
  auto* x = reinterpret_cast<T*>(to);
  const int64_t rest = int64_t{packs} * V + thread;
  const bool has_rest = rank == parts - 1 && rest < a.logits.cols;
  float of_rest[1] = {has_rest ? to_f32(x[rest]) : minus_infinity()};
  const bool first_of_row = rank == 0 && thread == 0;
  const float target_logit = first_of_row ? a.target_logit(x, a.targets[row]) : 0.0F;
  wait_for_all_but(0);

  const auto values_of = [&](int i, float(&values)[V]) {
    unpack(reinterpret_cast<const Pack<T, V>&>(part[i]), values);
  };
  Stats own;
  for (int i = thread; i < count; i += kPartThreads) {
    float values[V];
    values_of(i, values);
    add_logits(own, values);
  }
  if (has_rest) add_logits(own, of_rest);
  own = reduce_stats(own, kPartThreads, slots);
  wait_for_cluster();  // all have begun
  if (thread < parts) store_in_block(of_parts + rank, thread, {own.max, own.sum});
  arrive_in_cluster();
  wait_for_cluster();  // and have read the logits, the target's too
  Stats all;
  for (int p = 0; p < parts; ++p) all = both(all, {of_parts[p].x, of_parts[p].y});

  const LogitGradient gradient = a.finish(row, all, target_logit, first_of_row);
  for (int i = thread; i < count; i += kPartThreads) {
    float values[V];
    values_of(i, values);
    const int64_t c = (int64_t{first} + i) * V;
    gradient.apply(values, c);
    store<T, V>(a.logits, to, c, values);
  }
  gradient.apply(of_rest, rest);
  if (has_rest) x[rest] = from_f32<T>(of_rest[0]);
}

int64_t part_bytes(const Rows& rows, int parts) {
  return ceil_div(rows.cols * dtype_size(rows.dtype) / 16, parts) * 16;
}

/// Blocks a row, so that kPartBlocks fit a processor; 0 where no cluster holds a row in whole packs.
int parts_of(const CudaContext& gpu, const Rows& rows) {
  constexpr int kReserved = 1024, kFixed = 512;  // of a block's shared memory: by CUDA, and by the kernel
  const int width = 16 / narrow<int>(dtype_size(rows.dtype));
  Rows packs = rows;
  packs.cols -= packs.cols % width;
  if (gpu.capability_major() < 9 || !packs_fit(packs, width)) return 0;
  const int most = (gpu.max_shared_bytes() + kReserved) / kPartBlocks - kReserved - kFixed;
  for (int parts = 1; parts <= kMaxCluster; parts *= 2)
    if (part_bytes(rows, parts) <= most) return parts;
  return 0;
}

template <class T>
void launch_parts(const Ctx& ctx, const CrossEntropy& a, int parts) {
  const int bytes = narrow<int>(part_bytes(a.logits, parts));
  check_cuda(cudaFuncSetAttribute(part_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cross_entropy");
  check_cuda(cudaFuncSetAttribute(part_kernel<T>, cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared),
             "cross_entropy");
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {static_cast<unsigned>(parts), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(narrow<int>(a.logits.count * parts)));
  config.blockDim = dim3(kPartThreads);
  config.dynamicSmemBytes = static_cast<size_t>(bytes);
  config.stream = stream_of(ctx);
  config.attrs = &cluster;
  config.numAttrs = 1;
  check_cuda(cudaLaunchKernelEx(&config, part_kernel<T>, a, parts), "cross_entropy");
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
