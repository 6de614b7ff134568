// One row times a matrix of long rows, from compute capability 9.0 on. A block owns neighbouring columns of c and walks
// along the rows of b that they are made of, all threads side by side: a thread has its packs of a in registers, and a
// ring in shared memory, nearly all there is, in which its packs of b arrive in order (cp.async). So memory is asked
// for runs of many KiB, long before they are needed, the first of them before the kernel in front is done. A warp's
// sums of several rows are added up together; those of a block's warps once there are kBatch of them.
#include <algorithm>

#include "ops/cuda/ahead.cuh"
#include "ops/cuda/early.cuh"
#include "ops/cuda/few_rows.cuh"
#include "ops/cuda/logistic.cuh"
#include "ops/cuda/reduce.cuh"

namespace trireme::cuda {
namespace {

constexpr int kStages = 6;                                                        // of the ring
constexpr int at_once(int packs) { return packs == 1 ? 4 : packs == 2 ? 2 : 1; }  // rows of b in a stage
constexpr int kBatch = 128;
constexpr int kPitch = kMaxGroup / kWarp + 1;
constexpr int kMostStatic = 20 << 10;  // bytes of shared memory besides the ring
constexpr int kLeastPacks = 256;       // of shorter rows a block would be too small
constexpr int kFirstWithRoom = 9;      // compute capability: shared memory for such a ring

/// A thread's packs of a, or of its norm.
template <class T, int kPacks>
struct Own {
  static constexpr int V = kWidth<T>;
  float x[kPacks][V];

  __device__ void fetch(const FewRows& p) {
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      const int i = static_cast<int>(threadIdx.x + u * blockDim.x);
      uint4 words = {};
      if (i < p.packs) words = __ldcg(reinterpret_cast<const uint4*>(p.a) + i);
      unpack(Packs<T>{{words.x, words.y, words.z, words.w}}, x[u]);
    }
  }

  /// The total over the block of add(sum, x), in the order of norm_forward.cu, whose group of threads the block is.
  template <class Add>
  __device__ float total(float* slots, const FewRows& p, Add add) const {
    float sum = 0;
#pragma unroll
    for (int u = 0; u < kPacks; ++u)
      if (static_cast<int>(threadIdx.x + u * blockDim.x) < p.packs)
#pragma unroll
        for (int k = 0; k < V; ++k) sum = add(sum, x[u][k]);
    sum = reduce_lanes(sum);
    if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = sum;
    __syncthreads();
    return total_of_group(slots, static_cast<int>(blockDim.x));
  }

  __device__ void norm(const FewRows& p, const uint4 (&weight)[kPacks], const uint4 (&bias)[kPacks]) {
    __shared__ float slots[2][kMaxGroup / kWarp];
    const auto channels = static_cast<float>(p.packs * V);
    const auto plain = [](float sum, float v) { return sum + v; };
    const float mean = p.norm.bias != nullptr ? total(slots[0], p, plain) / channels : 0.0F;
    const auto squares = [=](float sum, float v) { return fmaf(v - mean, v - mean, sum); };
    const float rstd = 1.0F / sqrtf(total(slots[1], p, squares) / channels + p.norm.eps);
#pragma unroll
    for (int u = 0; u < kPacks; ++u) {
      float w[V], b[V];
      unpack(reinterpret_cast<const Packs<T>&>(weight[u]), w);
      unpack(reinterpret_cast<const Packs<T>&>(bias[u]), b);
#pragma unroll
      for (int k = 0; k < V; ++k) x[u][k] = to_f32(from_f32<T>(fmaf((x[u][k] - mean) * rstd, w[k], b[k])));
    }
  }
};

/// What becomes of the sums of a pair, in one thread.
template <class T, class Out>
struct End {
  float bias[2] = {}, residual[2] = {};

  /// Before the sums are there.
  __device__ void fetch(const FewRows& p, int pair) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int column = pair * p.step + side * p.apart;
      if (column >= p.columns) continue;
      if (p.bias != nullptr)
        bias[side] = p.bias_f32 ? reinterpret_cast<const float*>(p.bias)[column]
                                : to_f32(reinterpret_cast<const T*>(p.bias)[column]);
      if (p.residual != nullptr) residual[side] = to_f32(__ldcg(reinterpret_cast<const Out*>(p.residual) + column));
    }
  }
  __device__ void finish(const FewRows& p, int pair, const float (&sum)[2]) const {
    auto *c = reinterpret_cast<Out*>(p.c), *act = reinterpret_cast<Out*>(p.act);
    Out out[2];
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int column = pair * p.step + side * p.apart;
      out[side] = from_f32<Out>(fmaf(sum[side], p.alpha, bias[side]));
      if (p.residual != nullptr) out[side] = from_f32<Out>(residual[side] + to_f32(out[side]));
      if (column >= p.columns) continue;
      c[column] = out[side];
      if (p.gelu) act[column] = from_f32<Out>(gelu(to_f32(out[side])));
    }
    if (act != nullptr && !p.gelu) act[pair] = from_f32<Out>(swiglu(to_f32(out[0]), to_f32(out[1])));
  }
};

/// The sums over 32 lanes of kCount values, of which every step leaves a lane half: lane l has value l * kCount / 32.
template <int kCount, int kOffset = kWarp / 2>
__device__ float sum_of_lanes(const float (&s)[kCount], int lane) {
  if constexpr (kCount == 1) {
    return reduce_lanes(s[0], 2 * kOffset);
  } else {
    const bool high = (lane & kOffset) != 0;
    float half[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const float low_one = s[i], high_one = s[kCount / 2 + i];
      half[i] = (high ? high_one : low_one) + __shfl_xor_sync(kAllLanes, high ? low_one : high_one, kOffset);
    }
    return sum_of_lanes<kCount / 2, kOffset / 2>(half, lane);
  }
}

/// A block's share of the rows of b, as they come into its ring: those of the share's pair i are its rows 2i and 2i
/// + 1.
template <int kPacks>
struct Ring {
  static constexpr int kRows = at_once(kPacks);
  int first, count, filled = 0;  // pair; rows
  int pack_bytes, stage_bytes;
  uint32_t slot, begin, end;  // of this thread

  __device__ Ring(const FewRows& p, const uint4* memory)
      : pack_bytes(static_cast<int>(blockDim.x) * 16), stage_bytes(kRows * kPacks * pack_bytes) {
    const auto share = [&](unsigned block) { return static_cast<int>(int64_t{p.pairs} * block / gridDim.x); };
    first = share(blockIdx.x);
    count = 2 * (share(blockIdx.x + 1) - first);
    slot = begin = shared_address(memory + threadIdx.x);
    end = begin + kStages * stage_bytes;
  }
  __device__ uint32_t place(int row, int pack) const { return slot + (row * kPacks + pack) * pack_bytes; }

  /// Asks for the next rows in the place of those of this stage, and turns to the next stage.
  __device__ void fill(const FewRows& p) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (filled + r >= count) break;
      const char* row = row_of(p, first + (filled + r) / 2, (filled + r) % 2);
#pragma unroll
      for (int u = 0; u < kPacks; ++u)
        if (const int i = static_cast<int>(threadIdx.x + u * blockDim.x); i < p.packs)
          copy_ahead(place(r, u), row + i * 16);
    }
    filled += kRows;
    end_of_row();
    slot = slot + stage_bytes == end ? begin : slot + stage_bytes;
  }
};

/// This thread's part of the rows of the stage times a.
template <class T, int kPacks>
__device__ void multiply(float (&sum)[at_once(kPacks)], const Ring<kPacks>& ring, const FewRows& p,
                         const Own<T, kPacks>& own) {
#pragma unroll
  for (int u = 0; u < kPacks; ++u)
    if (static_cast<int>(threadIdx.x + u * blockDim.x) < p.packs)
#pragma unroll
      for (int r = 0; r < at_once(kPacks); ++r) {
        const uint4 words = read_shared(ring.place(r, u));
        float w[kWidth<T>];
        unpack(Packs<T>{{words.x, words.y, words.z, words.w}}, w);
#pragma unroll
        for (int k = 0; k < kWidth<T>; ++k) sum[r] = fmaf(w[k], own.x[u][k], sum[r]);
      }
}

template <class T, class Out, int kPacks>
__global__ void __launch_bounds__(kMaxGroup, 1) sweep_kernel(const __grid_constant__ FewRows p) {
  constexpr int kRows = at_once(kPacks);
  __shared__ float parts[2][kBatch][kPitch];
  extern __shared__ uint4 memory[];  // (stage, row, pack, thread)
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  uint4 weight[kPacks] = {}, bias[kPacks] = {};
#pragma unroll
  for (int u = 0; u < kPacks; ++u) {
    const int i = thread + u * static_cast<int>(blockDim.x);
    if (i >= p.packs || p.norm.weight == nullptr) continue;
    weight[u] = reinterpret_cast<const uint4*>(p.norm.weight)[i];
    if (p.norm.bias != nullptr) bias[u] = reinterpret_cast<const uint4*>(p.norm.bias)[i];
  }
  Ring<kPacks> ring(p, memory);
  if (!p.early) wait_for_previous();
#pragma unroll 1
  for (int i = 0; i < kStages; ++i) ring.fill(p);
  if (p.early) wait_for_previous();
  let_next_begin();  // not sooner: see early.cuh

  Own<T, kPacks> own;
  own.fetch(p);
  End<T, Out> next;
  if (2 * thread < min(ring.count, kBatch)) next.fetch(p, ring.first + thread);
  if (p.norm.weight != nullptr) own.norm(p, weight, bias);
  for (int begin = 0; begin < ring.count; begin += kBatch) {
    const int end = min(begin + kBatch, ring.count);
    auto& part = parts[begin / kBatch % 2];
    for (int j = begin; j < end; j += kRows) {
      wait_for_all_but<kStages - 1>();
      float sum[kRows] = {};
      multiply<T, kPacks>(sum, ring, p, own);
      ring.fill(p);
      const float total = sum_of_lanes(sum, lane);
      if (lane % (kWarp / kRows) == 0) part[j - begin + lane * kRows / kWarp][thread / kWarp] = total;
    }
    __syncthreads();  // and the batch before the last has been read
    if (2 * thread < end - begin) {
      float sum[2] = {};
#pragma unroll
      for (int side = 0; side < 2; ++side)
        for (int w = 0; w < warps; ++w) sum[side] += part[2 * thread + side][w];
      next.finish(p, ring.first + begin / 2 + thread, sum);
    }
    if (2 * thread < min(ring.count - end, kBatch)) next.fetch(p, ring.first + end / 2 + thread);
  }
}

template <class T, class Out, int kPacks>
bool launch(const Ctx& ctx, const FewRows& p, int threads) {
  const int bytes = kStages * at_once(kPacks) * kPacks * threads * 16;
  if (bytes + kMostStatic > ctx.cuda->max_shared_bytes()) return false;
  const auto kernel = sweep_kernel<T, Out, kPacks>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>(std::min(p.pairs, ctx.cuda->multiprocessors())));
  launch_early(ctx, kernel, grid, static_cast<unsigned>(threads), p, bytes);
  return true;
}

template <class T, class Out>
bool launch_packs(const Ctx& ctx, const FewRows& p) {
  const NormShape shape = norm_shape(p.packs, 1, kMaxGroup);
  if (shape.packs == 0) return false;
  bool taken = false;
  with_packs(shape.packs, [&]<int kPacks>(std::integral_constant<int, kPacks>) {
    taken = launch<T, Out, kPacks>(ctx, p, shape.group);
  });
  return taken;
}

}  // namespace

bool sweep_row(const Ctx& ctx, const FewRows& p, DType a, DType c) {
  if (p.rows != 1 || p.packs < kLeastPacks || ctx.cuda->capability_major() < kFirstWithRoom) return false;
  bool taken = false;
  with_type(a, [&]<class T>(Type<T>) {
    taken = c == DType::f32 ? launch_packs<T, float>(ctx, p) : launch_packs<T, T>(ctx, p);
  });
  return taken;
}

}  // namespace trireme::cuda
