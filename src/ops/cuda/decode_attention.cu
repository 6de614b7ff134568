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
constexpr int at_once(int channels) { return channels <= 8 ? 3 : 1; }  // keys of a team; they take registers

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
  bool early;  // where the keys are was known, and those before the newest were there, long before
};

/// How channel d of a head is turned, as attention sees it.
struct Turn {
  float cosine = 1, sine = 0;
  int low = 0, high = 0;  // the two channels that it is made of
  bool first = true, turns = false;

  __device__ Turn(const Decode& p, int d, int64_t position) : low(d), high(d) {
    if (p.table == nullptr) return;
    const int half = p.head_size / 2;
    turns = true;
    first = d < half;
    low = first ? d : d - half;
    high = low + half;
    const bool known = position >= 0 && position < p.table_rows;
    const float* angles = p.table + (known ? position * p.head_size : 0);
    cosine = known ? angles[low] : __int_as_float(0x7FC00000);
    sine = angles[high];
  }
  template <class T>
  __device__ float operator()(T at_low, T at_high) const {
    const float x = to_f32(at_low), y = to_f32(at_high);
    if (!turns) return x;
    return to_f32(from_f32<T>(first ? fmaf(-y, sine, x * cosine) : fmaf(x, sine, y * cosine)));
  }
};

/// A lane's channels of some rows, all loads before the first use.
template <class T, int kRows, int kChannels>
__device__ void load_channels(const T* const (&rows)[kRows], int first, int head_size, float (&to)[kRows][kChannels]) {
  constexpr int V = kChannels < kWidth<T> ? kChannels : kWidth<T>, kPacks = kChannels / V;
  if (head_size == kLanes * kChannels) {
    Pack<T, V> raw[kRows][kPacks];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kPacks; ++i) raw[r][i] = *reinterpret_cast<const Pack<T, V>*>(rows[r] + first + i * V);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        float part[V];
        unpack(raw[r][i], part);
#pragma unroll
        for (int j = 0; j < V; ++j) to[r][i * V + j] = part[j];
      }
    return;
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int i = 0; i < kChannels; ++i) to[r][i] = first + i < head_size ? to_f32(rows[r][first + i]) : 0.0F;
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
__global__ void __launch_bounds__(kThreads, kChannels <= 8 ? 3 : 2) part_kernel(const __grid_constant__ Decode p) {
  __shared__ float query[kHeads][kMostHeadSize];
  __shared__ alignas(16) float newest[2][kMostHeadSize];
  __shared__ float tops[kTeams][kHeads], weights[kTeams][kHeads];
  extern __shared__ float sums[];  // (teams, heads, D)
  const int64_t token = blockIdx.z;
  const int kv_head = static_cast<int>(blockIdx.y) / p.group_blocks, d_size = p.head_size;
  const int first_head = static_cast<int>(blockIdx.y) % p.group_blocks * kHeads;  // of the group
  const int heads = min(kHeads, p.group - first_head), first_query = kv_head * p.group + first_head;
  let_next_begin();
  if (!p.early) wait_for_previous();

  const int64_t position = p.positions[token], base = p.cache_rows[token];
  const auto* q = reinterpret_cast<const T*>(p.q) + token * p.q_row;
  const auto* k = reinterpret_cast<const T*>(p.k) + token * p.k_row + kv_head * p.k_head;
  const auto* v = reinterpret_cast<const T*>(p.v) + token * p.v_row + kv_head * p.v_head;
  auto* cache_k = reinterpret_cast<T*>(p.cache_k) + base * p.cache_row + kv_head * p.cache_head;
  auto* cache_v = reinterpret_cast<T*>(p.cache_v) + base * p.cache_row + kv_head * p.cache_head;

  const int64_t begin_all = p.window > 0 && position + 1 > p.window ? position + 1 - p.window : 0;
  const int64_t share = ceil_div(position + 1 - begin_all, kDecodeParts);
  const int64_t begin = begin_all + blockIdx.x * share, end = min(begin + share, position + 1);
  constexpr int kAtOnce = at_once(kChannels);
  const int team = static_cast<int>(threadIdx.x) / kLanes, first = static_cast<int>(threadIdx.x) % kLanes * kChannels;
  const int64_t last = max(min(end, position) - 1, int64_t{0});
  float both[2 * kAtOnce][kChannels];  // keys, values
  const auto fetch = [&](int64_t round) {
    const T* rows[2 * kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t offset = min(round + u * kTeams + team, last) * p.cache_row;
      rows[u] = cache_k + offset;
      rows[kAtOnce + u] = cache_v + offset;
    }
    load_channels(rows, first, d_size, both);
  };
  fetch(begin);
  if (p.early) wait_for_previous();

  const bool writes = begin <= position && position < end && first_head == 0;
  for (int d = static_cast<int>(threadIdx.x); d < d_size; d += kThreads) {
    const Turn turn(p, d, position);
    T low[kHeads], high[kHeads];  // all loads before the first use
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const T* head = q + (first_query + (h < heads ? h : 0)) * p.q_head;
      low[h] = head[turn.low];
      high[h] = head[turn.high];
    }
    const T k_low = k[turn.low], k_high = k[turn.high], new_v = v[d];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) query[h][d] = turn(low[h], high[h]) * p.scale;
    newest[0][d] = turn(k_low, k_high);
    newest[1][d] = to_f32(new_v);
    if (!writes) continue;
    cache_k[position * p.cache_row + d] = from_f32<T>(newest[0][d]);
    cache_v[position * p.cache_row + d] = new_v;
  }
  __syncthreads();

  float mine[kHeads][kChannels];
#pragma unroll
  for (int h = 0; h < kHeads; ++h)
#pragma unroll
    for (int i = 0; i < kChannels; ++i) mine[h][i] = h < heads && first + i < d_size ? query[h][first + i] : 0.0F;
  Seen<kChannels> seen[kHeads];
  // All teams of a warp go round equally often, for they reduce together.
  for (int64_t round = begin; round < end; round += kTeams * kAtOnce) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t j = round + u * kTeams + team;
      float(&key)[kChannels] = both[u], (&value)[kChannels] = both[kAtOnce + u];
      if (j == position) {
#pragma unroll
        for (int i = 0; i < kChannels; ++i) {
          key[i] = first + i < d_size ? newest[0][first + i] : 0.0F;
          value[i] = first + i < d_size ? newest[1][first + i] : 0.0F;
        }
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kChannels; ++i) score = fmaf(mine[h][i], key[i], score);
        score = reduce_lanes(score, kLanes);
        if (j < end) seen[h].add(score, value);
      }
    }
    if (round + kTeams * kAtOnce < end) fetch(round + kTeams * kAtOnce);
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
  for (int d = static_cast<int>(threadIdx.x); d < d_size; d += kThreads)
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if (h >= heads) break;
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
                 .group_blocks = 1,
                 .early = !ctx.train};
  with_type(q.dtype, [&]<class T>(Type<T>) {
    if (d <= 64) return launch_heads<T, 4>(ctx, p, q.size(0));
    if (d <= 128) return launch_heads<T, 8>(ctx, p, q.size(0));
    launch_heads<T, 16>(ctx, p, q.size(0));
  });
}

}  // namespace trireme::cuda
