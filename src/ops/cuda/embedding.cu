// Table lookup, a pack a thread. Its gradient sorts the tokens by their row of the table (a stable sort: tokens of a
// row stay in order), so that every row has one owner, which adds its tokens in order: no atomics, and the same bits in
// every run.
#include "ops/cuda/embedding.h"

#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;

struct Lookup {
  Rows y, table;
  const int32_t* ids;
  int64_t row_begin;
  int64_t packs, packs_per_row;
  bool accumulate;
};

template <class T, int V>
__global__ void __launch_bounds__(kThreads) lookup_kernel(const __grid_constant__ Lookup a) {
  constexpr int kAtOnce = 2;
  const int64_t first = int64_t{blockIdx.x} * (kThreads * kAtOnce) + threadIdx.x;
  Pack<T, V> found[kAtOnce] = {}, old[kAtOnce] = {};
  int64_t token[kAtOnce], col[kAtOnce];
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = first + u * kThreads;
    if (i >= a.packs) break;
    token[u] = i / a.packs_per_row;
    col[u] = i % a.packs_per_row * V;
    const int64_t row = a.ids[token[u]] - a.row_begin;
    if (row >= 0 && row < a.table.count) found[u] = load<T, V>(a.table, a.table.row(row), col[u]);
    if (a.accumulate) old[u] = load<T, V>(a.y, a.y.row(token[u]), col[u]);
  }
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    if (first + u * kThreads >= a.packs) break;
    float value[V], before[V];
    unpack(found[u], value);
    unpack(old[u], before);
#pragma unroll
    for (int i = 0; i < V; ++i) value[i] += before[i];
    store<T, V>(a.y, a.y.row(token[u]), col[u], value);
  }
}

template <class T, int V>
void launch_lookup(const Ctx& ctx, Lookup a) {
  a.packs_per_row = a.y.cols / V;
  a.packs = a.y.count * a.packs_per_row;
  lookup_kernel<T, V><<<narrow<int>(ceil_div(a.packs, 2 * kThreads)), kThreads, 0, stream_of(ctx)>>>(a);
}

// ---- the gradient

/// key = the token's row of the table, or `rows` where it has none; token = its index.
__global__ void __launch_bounds__(kThreads)
    keys_kernel(uint32_t* keys, int32_t* tokens, const int32_t* ids, int64_t n, int64_t row_begin, int64_t rows) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t row = ids[i] - row_begin;
  keys[i] = static_cast<uint32_t>(row >= 0 && row < rows ? row : rows);
  tokens[i] = static_cast<int32_t>(i);
}

struct Runs {
  Rows table, dy;         // table: f32
  const uint32_t* keys;   // sorted
  const int32_t* tokens;  // in the order of the keys
  int64_t n;
  bool table_packs;  // rows of the table move in packs
};

/// First index from `begin` on whose key differs from `key`.
__device__ int64_t end_of_run(const Runs& a, int64_t begin, uint32_t key) {
  int64_t low = begin, high = a.n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (a.keys[middle] == key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// sum += the columns from c on of the tokens begin, begin + step, ... before end.
template <class T, int V>
__device__ void add_tokens(const Runs& a, float (&sum)[V], int64_t begin, int64_t end, int step, int64_t c) {
  constexpr int kAtOnce = 8;
  for (int64_t i = begin; i < end; i += kAtOnce * step) {
    Pack<T, V> raw[kAtOnce] = {};
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (const int64_t at = i + u * step; at < end) raw[u] = load<T, V>(a.dy, a.dy.row(a.tokens[at]), c);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float v[V];
      unpack(raw[u], v);
#pragma unroll
      for (int k = 0; k < V; ++k) sum[k] += v[k];
    }
  }
}

/// The columns of a row of the table from c on += sum.
template <int V>
__device__ void add_to_row(const Runs& a, uint32_t key, int64_t c, const float (&sum)[V]) {
  auto* to = reinterpret_cast<float*>(a.table.row(key)) + c;
  if (V % 4 == 0 && a.table_packs) {
    auto* packs = reinterpret_cast<float4*>(to);
#pragma unroll
    for (int k = 0; k + 4 <= V; k += 4) {
      const float4 old = packs[k / 4];
      packs[k / 4] = {old.x + sum[k], old.y + sum[k + 1], old.z + sum[k + 2], old.w + sum[k + 3]};
    }
  } else {
#pragma unroll
    for (int k = 0; k < V; ++k) to[k] += sum[k];
  }
}

/// One block takes the runs of equal keys that begin among its 32 sorted tokens, for a tile of columns: a warp a run,
/// and all warps together for a last one that is long.
template <class T, int V>
__global__ void __launch_bounds__(kThreads) runs_kernel(const __grid_constant__ Runs a) {
  constexpr int kWarps = kThreads / kWarp, kCols = kWarp * V;
  constexpr int64_t kLong = 64;
  __shared__ int64_t begins[kWarp + 1];
  __shared__ int count;
  __shared__ float sums[kWarps][kCols];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first = int64_t{blockIdx.x} * kWarp;
  const auto none = static_cast<uint32_t>(a.table.count);
  if (warp == 0) {
    const int64_t i = first + lane;
    const uint32_t key = i < a.n ? a.keys[i] : none;
    const bool begin = key != none && (i == 0 || a.keys[i - 1] != key);
    const unsigned beginners = __ballot_sync(kAllLanes, begin);
    const int runs = __popc(beginners);
    if (begin) begins[__popc(beginners & ((1U << lane) - 1))] = i;
    if (lane == 0) count = runs;
    if (begin && beginners >> lane == 1) begins[runs] = end_of_run(a, i, key);  // the last: may go on beyond the 32
  }
  __syncthreads();
  const int64_t c = int64_t{blockIdx.y} * kCols + lane * V;
  const bool inside = c < a.dy.cols;
  const bool last_is_long = count > 0 && begins[count] - begins[count - 1] > kLong;
  for (int run = warp; run < count - (last_is_long ? 1 : 0) && inside; run += kWarps) {
    const int64_t begin = begins[run];
    const uint32_t key = a.keys[begin];
    // Only the last run knows its end; behind the others another one begins, for the tokens without a row come last.
    float sum[V] = {};
    add_tokens<T, V>(a, sum, begin, begins[run + 1], 1, c);
    add_to_row(a, key, c, sum);
  }
  if (!last_is_long) return;
  float sum[V] = {};
  if (inside) add_tokens<T, V>(a, sum, begins[count - 1] + warp, begins[count], kWarps, c);
#pragma unroll
  for (int k = 0; k < V; ++k) sums[warp][lane * V + k] = sum[k];
  __syncthreads();
  const int64_t tile = int64_t{blockIdx.y} * kCols;
  for (int k = static_cast<int>(threadIdx.x); k < kCols && tile + k < a.dy.cols; k += kThreads) {
    float total[1] = {sums[0][k]};
    for (int w = 1; w < kWarps; ++w) total[0] += sums[w][k];
    add_to_row(a, a.keys[begins[count - 1]], tile + k, total);
  }
}

template <class T, int V>
void launch_runs(const Ctx& ctx, const Runs& a) {
  const dim3 grid(narrow<int>(ceil_div(a.n, kWarp)), narrow<int>(ceil_div(a.dy.cols, kWarp * V)));
  runs_kernel<T, V><<<grid, kThreads, 0, stream_of(ctx)>>>(a);
}

}  // namespace

void embedding_forward(Ctx& ctx, const Tensor& y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate) {
  if (y.numel() == 0) return;
  const Lookup a{
      .y = Rows(y), .table = Rows(table), .ids = ids.i32(), .row_begin = row_begin, .accumulate = accumulate};
  const int width = y.dtype == DType::f32 ? 4 : 8;
  if (table.dtype == y.dtype && packs_fit(a.y, width) && packs_fit(a.table, width))
    with_type(y.dtype, [&]<class T>(Type<T>) { launch_lookup<T, kWidth<T>>(ctx, a); });
  else
    launch_lookup<Any, 1>(ctx, a);
  check_launch("embedding_forward");
}

void embedding_backward(Ctx& ctx, const Tensor& dtable, const Tensor& scratch, const Tensor& ids, const Tensor& dy,
                        int64_t row_begin) {
  const int64_t n = ids.numel(), rows = dtable.size(0);
  if (n == 0 || dtable.numel() == 0) return;
  auto* memory = scratch.as<char>();
  const auto take = [&](int64_t bytes) { return std::exchange(memory, memory + round_up(bytes, kAlignment)); };
  const int64_t bytes = n * static_cast<int64_t>(sizeof(int32_t));
  auto* keys = reinterpret_cast<uint32_t*>(take(bytes));
  auto* sorted_keys = reinterpret_cast<uint32_t*>(take(bytes));
  auto* tokens = reinterpret_cast<int32_t*>(take(bytes));
  auto* sorted_tokens = reinterpret_cast<int32_t*>(take(bytes));

  const cudaStream_t stream = stream_of(ctx);
  keys_kernel<<<narrow<int>(ceil_div(n, kThreads)), kThreads, 0, stream>>>(keys, tokens, ids.i32(), n, row_begin, rows);
  const int bits = std::bit_width(static_cast<uint64_t>(rows));
  const auto sort = [&](void* temp, size_t& size) {
    check_cuda(
        cub::DeviceRadixSort::SortPairs(temp, size, keys, sorted_keys, tokens, sorted_tokens, n, 0, bits, stream),
        "embedding_backward: sort");
  };
  size_t needed = 0;
  sort(nullptr, needed);
  CHECK(needed <= static_cast<size_t>(embedding_sort_bytes(n)), "the sort of ", n, " tokens needs ", needed, " bytes");
  sort(memory, needed);

  Runs a{.table = Rows(dtable), .dy = Rows(dy), .keys = sorted_keys, .tokens = sorted_tokens, .n = n};
  a.table_packs = packs_fit(a.table, 4);
  if (packs_fit(a.dy, dy.dtype == DType::f32 ? 4 : 8))
    with_type(dy.dtype, [&]<class T>(Type<T>) { launch_runs<T, kWidth<T>>(ctx, a); });
  else
    launch_runs<Any, 1>(ctx, a);
  check_launch("embedding_backward");
}

}  // namespace trireme::cuda
