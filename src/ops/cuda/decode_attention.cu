// One query a head, many keys: blocks share the keys of a sequence, and a second kernel adds their parts. Half a warp
// takes a key, and with it all query heads that share it. The block that meets the newest key also puts it into the
// cache.
#include "ops/cuda/decode_attention.h"

#include "base/numeric.h"
#include "ops/cuda/early.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 16;  // of a key
constexpr int kTeams = kThreads / kLanes;
constexpr int kMostHeadSize = 256;

struct Decode {
  const char *q, *k, *v;  // (N, heads, D)
  char *o, *cache_k, *cache_v;
  int64_t q_row, k_row, v_row, o_row, cache_row;       // elements from a row to the next
  int64_t q_head, k_head, v_head, o_head, cache_head;  // and from a head
  const int32_t *positions, *cache_rows;
  const float* table;  // null: no RoPE
  int64_t table_rows;
  float* parts;
  float scale;
  int64_t window;
  int head_size, kv_heads, group, group_blocks;  // group: query heads that share keys; blocks of kHeads they take
};

/// Channel d of a head as attention sees it.
template <class T>
__device__ float rotated(const Decode& p, const T* head, int d, int64_t position) {
  if (p.table == nullptr) return to_f32(head[d]);
  const int half = p.head_size / 2, c = d % half;
  const bool known = position >= 0 && position < p.table_rows;
  const float* angles = p.table + (known ? position * p.head_size : 0);
  const float cosine = known ? angles[c] : __int_as_float(0x7FC00000), sine = angles[half + c];
  const float low = to_f32(head[c]), high = to_f32(head[half + c]);
  return to_f32(from_f32<T>(d < half ? fmaf(-high, sine, low * cosine) : fmaf(low, sine, high * cosine)));
}

/// A lane's channels of a row.
template <class T, int kChannels>
__device__ void load_channels(const T* row, int first, int head_size, float (&to)[kChannels]) {
  constexpr int V = kChannels < kWidth<T> ? kChannels : kWidth<T>;
  if (head_size == kLanes * kChannels) {
#pragma unroll
    for (int i = 0; i < kChannels; i += V) {
      float part[V];
      unpack(*reinterpret_cast<const Pack<T, V>*>(row + first + i), part);
#pragma unroll
      for (int j = 0; j < V; ++j) to[i + j] = part[j];
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kChannels; ++i) to[i] = first + i < head_size ? to_f32(row[first + i]) : 0.0F;
}

/// What has been seen of the keys by a team, for one query head.
template <int kChannels>
struct Seen {
  float top = -INFINITY, weight = 0, sum[kChannels] = {};

  __device__ void add(float score, const float (&value)[kChannels]) {
    const float new_top = fmaxf(top, score);
    const float before = top == new_top ? 1.0F : expf(top - new_top), now = expf(score - new_top);
    weight = weight * before + now;
#pragma unroll
    for (int i = 0; i < kChannels; ++i) sum[i] = fmaf(now, value[i], sum[i] * before);
    top = new_top;
  }
};

/// Block (part, key-value head and run of its query heads, token).
template <class T, int kHeads, int kChannels>
__global__ void __launch_bounds__(kThreads) part_kernel(const __grid_constant__ Decode p) {
  __shared__ float query[kHeads][kMostHeadSize];
  __shared__ alignas(16) float newest[2][kMostHeadSize];
  __shared__ float tops[kTeams][kHeads], weights[kTeams][kHeads];
  extern __shared__ float sums[];  // (teams, heads, D)
  const int64_t token = blockIdx.z;
  const int kv_head = static_cast<int>(blockIdx.y) / p.group_blocks, d_size = p.head_size;
  const int first_head = static_cast<int>(blockIdx.y) % p.group_blocks * kHeads;  // of the group
  const int heads = min(kHeads, p.group - first_head), first_query = kv_head * p.group + first_head;
  let_next_begin();
  wait_for_previous();

  const int64_t position = p.positions[token], base = p.cache_rows[token];
  const auto* q = reinterpret_cast<const T*>(p.q) + token * p.q_row;
  const auto* k = reinterpret_cast<const T*>(p.k) + token * p.k_row + kv_head * p.k_head;
  const auto* v = reinterpret_cast<const T*>(p.v) + token * p.v_row + kv_head * p.v_head;
  auto* cache_k = reinterpret_cast<T*>(p.cache_k) + base * p.cache_row + kv_head * p.cache_head;
  auto* cache_v = reinterpret_cast<T*>(p.cache_v) + base * p.cache_row + kv_head * p.cache_head;

  const int64_t begin_all = p.window > 0 && position + 1 > p.window ? position + 1 - p.window : 0;
  const int64_t share = ceil_div(position + 1 - begin_all, kDecodeParts);
  const int64_t begin = begin_all + blockIdx.x * share, end = min(begin + share, position + 1);
  const bool writes = begin <= position && position < end && first_head == 0;
  for (int i = static_cast<int>(threadIdx.x); i < heads * d_size; i += kThreads) {
    const int h = i / d_size, d = i % d_size;
    query[h][d] = rotated(p, q + (first_query + h) * p.q_head, d, position) * p.scale;
  }
  for (int d = static_cast<int>(threadIdx.x); d < d_size; d += kThreads) {
    newest[0][d] = rotated(p, k, d, position);
    newest[1][d] = to_f32(v[d]);
    if (!writes) continue;
    cache_k[position * p.cache_row + d] = from_f32<T>(newest[0][d]);
    cache_v[position * p.cache_row + d] = v[d];
  }
  __syncthreads();

  const int team = static_cast<int>(threadIdx.x) / kLanes, first = static_cast<int>(threadIdx.x) % kLanes * kChannels;
  float mine[kHeads][kChannels];
#pragma unroll
  for (int h = 0; h < kHeads; ++h)
#pragma unroll
    for (int i = 0; i < kChannels; ++i) mine[h][i] = h < heads && first + i < d_size ? query[h][first + i] : 0.0F;
  Seen<kChannels> seen[kHeads];
  // All teams of a warp go round equally often, for they reduce together.
  for (int64_t round = begin; round < end; round += kTeams) {
    const int64_t j = round + team;
    const bool sees = j < end;
    float key[kChannels] = {}, value[kChannels] = {};
    if (sees && j < position) {
      load_channels(cache_k + j * p.cache_row, first, d_size, key);
      load_channels(cache_v + j * p.cache_row, first, d_size, value);
    } else if (sees) {
      load_channels(newest[0], first, d_size, key);
      load_channels(newest[1], first, d_size, value);
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float score = 0;
#pragma unroll
      for (int i = 0; i < kChannels; ++i) score = fmaf(mine[h][i], key[i], score);
      score = reduce_lanes(score, kLanes);
      if (sees) seen[h].add(score, value);
    }
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) break;
    if (threadIdx.x % kLanes == 0) {
      tops[team][h] = seen[h].top;
      weights[team][h] = seen[h].weight;
    }
#pragma unroll
    for (int i = 0; i < kChannels; ++i)
      if (first + i < d_size) sums[(team * kHeads + h) * d_size + first + i] = seen[h].sum[i];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < heads * d_size; i += kThreads) {
    const int h = i / d_size, d = i % d_size;
    float top = tops[0][h];
#pragma unroll
    for (int t = 1; t < kTeams; ++t) top = fmaxf(top, tops[t][h]);
    float weight = 0, sum = 0;
#pragma unroll
    for (int t = 0; t < kTeams; ++t) {
      const float factor = tops[t][h] == -INFINITY ? 0.0F : expf(tops[t][h] - top);
      weight = fmaf(weights[t][h], factor, weight);
      sum = fmaf(sums[(t * kHeads + h) * d_size + d], factor, sum);
    }
    float* part =
        p.parts + (((token * p.kv_heads * p.group + first_query + h) * kDecodeParts) + blockIdx.x) * (d_size + 2);
    part[d] = sum;
    if (d == 0) {
      part[d_size] = weight;
      part[d_size + 1] = top;
    }
  }
}

/// Block (query head, token), a thread a channel.
template <class T>
__global__ void __launch_bounds__(kMostHeadSize) sum_kernel(const __grid_constant__ Decode p) {
  const int d = static_cast<int>(threadIdx.x), pitch = p.head_size + 2;
  const int64_t token = blockIdx.y, head = blockIdx.x;
  const float* parts = p.parts + (token * gridDim.x + head) * kDecodeParts * pitch;
  let_next_begin();
  wait_for_previous();
  if (d >= p.head_size) return;
  float top = -INFINITY;
#pragma unroll
  for (int i = 0; i < kDecodeParts; ++i) top = fmaxf(top, parts[i * pitch + p.head_size + 1]);
  float weight = 0, sum = 0;
#pragma unroll
  for (int i = 0; i < kDecodeParts; ++i) {
    const float* part = parts + i * pitch;
    const float its_top = part[p.head_size + 1], factor = its_top == -INFINITY ? 0.0F : expf(its_top - top);
    weight = fmaf(part[p.head_size], factor, weight);
    sum = fmaf(part[d], factor, sum);
  }
  reinterpret_cast<T*>(p.o)[token * p.o_row + head * p.o_head + d] = from_f32<T>(sum / weight);
}

template <class T, int kHeads, int kChannels>
void launch(const Ctx& ctx, Decode p, int64_t tokens) {
  p.group_blocks = static_cast<int>(ceil_div(int64_t{p.group}, int64_t{kHeads}));
  const dim3 grid(kDecodeParts, static_cast<unsigned>(p.kv_heads * p.group_blocks), narrow<unsigned>(tokens));
  const int bytes = kTeams * kHeads * p.head_size * static_cast<int>(sizeof(float));
  launch_early(ctx, part_kernel<T, kHeads, kChannels>, grid, kThreads, p, bytes);
  const dim3 heads(static_cast<unsigned>(p.kv_heads * p.group), narrow<unsigned>(tokens));
  launch_early(ctx, sum_kernel<T>, heads, static_cast<int>(round_up(p.head_size, kWarp)), p, 0);
}

template <class T, int kChannels>
void launch_heads(const Ctx& ctx, const Decode& p, int64_t tokens) {
  if (p.group == 1) return launch<T, 1, kChannels>(ctx, p, tokens);
  if (p.group == 2) return launch<T, 2, kChannels>(ctx, p, tokens);
  launch<T, 4, kChannels>(ctx, p, tokens);
}

}  // namespace

void decode_attention(Ctx& ctx, const Tensor& o, const Tensor& q, const Tensor& k, const Tensor& v, const KvView& cache,
                      const DecodeArgs& args, const Tensor& scratch) {
  const int64_t d = q.size(2);
  if (d > kMostHeadSize)
    throw DeviceError(cat("attention: heads of ", d, " channels are too wide for a GPU; at most 256. Use device=cpu"));
  const bool turns = args.rope_table.defined();
  const Decode p{.q = q.as<char>(),
                 .k = k.as<char>(),
                 .v = v.as<char>(),
                 .o = o.as<char>(),
                 .cache_k = cache.k.as<char>(),
                 .cache_v = cache.v.as<char>(),
                 .q_row = q.stride(0),
                 .k_row = k.stride(0),
                 .v_row = v.stride(0),
                 .o_row = o.stride(0),
                 .cache_row = cache.k.stride(0),
                 .q_head = q.stride(1),
                 .k_head = k.stride(1),
                 .v_head = v.stride(1),
                 .o_head = o.stride(1),
                 .cache_head = cache.k.stride(1),
                 .positions = args.positions.i32(),
                 .cache_rows = args.cache_rows.i32(),
                 .table = turns ? args.rope_table.f32() : nullptr,
                 .table_rows = turns ? args.rope_table.size(0) : 0,
                 .parts = scratch.f32(),
                 .scale = args.scale,
                 .window = args.window,
                 .head_size = static_cast<int>(d),
                 .kv_heads = static_cast<int>(k.size(1)),
                 .group = static_cast<int>(q.size(1) / k.size(1)),
                 .group_blocks = 1};
  with_type(q.dtype, [&]<class T>(Type<T>) {
    if (d <= 64) return launch_heads<T, 4>(ctx, p, q.size(0));
    if (d <= 128) return launch_heads<T, 8>(ctx, p, q.size(0));
    launch_heads<T, 16>(ctx, p, q.size(0));
  });
}

}  // namespace trireme::cuda
