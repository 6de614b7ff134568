// One query a head, many keys: blocks share the keys of a sequence, and a second kernel adds their parts. Of one token
// they are a cluster from compute capability 9.0 on, which adds its parts itself, through shared memory. Half a warp
// takes a key, and with it all query heads that share it. The block that meets the newest key also puts it into the
// cache. The order of all sums depends on shapes and positions only.
#include "ops/cuda/decode_attention.h"

#include "base/numeric.h"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/early.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kPartThreads = 128;
constexpr int kLanes = 16;  // of a key
constexpr int kTeams = kPartThreads / kLanes;
constexpr int kCluster = 8;                       // blocks; more are not to be had everywhere
constexpr int kHalves = kDecodeParts / kCluster;  // parts that a block of a cluster has
constexpr int kMostHeadSize = 256;
constexpr int kMostSums = 32 << 10;                                          // bytes of a cluster's block
constexpr int kFirstWithClusters = 9;                                        // compute capability
constexpr int at_once(int channels) { return channels <= 8 ? 3 : 1; }        // keys of a team; they take registers
constexpr int parts_at_once(int channels) { return channels <= 8 ? 3 : 2; }  // of a multiprocessor, at least

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

/// The keys of a part of a sequence; a part may have none.
struct Keys {
  int begin, end;

  __device__ Keys(const Decode& p, int position, int part, int parts = 1) {
    const int first = p.window > 0 && position >= p.window ? static_cast<int>(position + 1 - p.window) : 0;
    const int share = (position - first) / static_cast<int>(kDecodeParts) + 1;
    begin = first + part * share;
    end = min(begin + parts * share, position + 1);
  }
  __device__ bool has(int key) const { return begin <= key && key < end; }
};

/// What a block knows of its token: turned queries of its heads, and the newest key and value.
template <int kHeads>
struct Newest {
  float query[kHeads][kMostHeadSize];
  alignas(16) float key[kMostHeadSize], value[kMostHeadSize];
};

/// Where a token's rows are, of one key-value head.
template <class T>
struct Token {
  const T *q, *k, *v;
  T *cache_k, *cache_v;
  int position;

  __device__ Token(const Decode& p, int64_t token, int kv_head, int first_query)
      : q(reinterpret_cast<const T*>(p.q) + token * p.q_row + first_query * p.q_head),
        k(reinterpret_cast<const T*>(p.k) + token * p.k_row + kv_head * p.k_head),
        v(reinterpret_cast<const T*>(p.v) + token * p.v_row + kv_head * p.v_head),
        cache_k(reinterpret_cast<T*>(p.cache_k) + p.cache_rows[token] * p.cache_row + kv_head * p.cache_head),
        cache_v(reinterpret_cast<T*>(p.cache_v) + p.cache_rows[token] * p.cache_row + kv_head * p.cache_head),
        position(p.positions[token]) {}

  /// Turns what is new, and puts it into the cache where `writes`.
  template <int kHeads>
  __device__ void turn(Newest<kHeads>& to, const Decode& p, int heads, bool writes) const {
    for (int d = static_cast<int>(threadIdx.x); d < p.head_size; d += static_cast<int>(blockDim.x)) {
      const Turn turned(p, d, position);
      T low[kHeads], high[kHeads];  // all loads before the first use
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const T* head = q + (h < heads ? h : 0) * p.q_head;
        low[h] = head[turned.low];
        high[h] = head[turned.high];
      }
      const T k_low = k[turned.low], k_high = k[turned.high], new_v = v[d];
#pragma unroll
      for (int h = 0; h < kHeads; ++h) to.query[h][d] = turned(low[h], high[h]) * p.scale;
      to.key[d] = turned(k_low, k_high);
      to.value[d] = to_f32(new_v);
      if (!writes) continue;
      cache_k[position * p.cache_row + d] = from_f32<T>(to.key[d]);
      cache_v[position * p.cache_row + d] = new_v;
    }
  }
};

/// A team's next keys and values: a lane's channels from `first` on.
template <class T, int kChannels>
struct Round {
  static constexpr int kAtOnce = at_once(kChannels), kKeys = kTeams * kAtOnce;  // of all teams
  float key[2 * kAtOnce][kChannels];                                            // then values

  /// Of the cache, where the newest key need not be yet.
  __device__ void fetch(const Decode& p, const Token<T>& at, const Keys& keys, int begin, int team, int first) {
    const int last = max(min(keys.end, at.position) - 1, 0);
    const T* rows[2 * kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t offset = min(begin + u * kTeams + team, last) * p.cache_row;
      rows[u] = at.cache_k + offset;
      rows[kAtOnce + u] = at.cache_v + offset;
    }
    load_channels(rows, first, p.head_size, key);
  }
};

/// All keys of a part, the first ones of which are there. All teams of a warp go round equally often, for they reduce
/// together.
template <class T, int kHeads, int kChannels>
__device__ void attend(Seen<kChannels> (&seen)[kHeads], Round<T, kChannels>& round, const Decode& p, const Token<T>& at,
                       const Keys& keys, const Newest<kHeads>& newest, int heads, int team, int first) {
  constexpr int kAtOnce = Round<T, kChannels>::kAtOnce, kKeys = Round<T, kChannels>::kKeys;
  float mine[kHeads][kChannels];
#pragma unroll
  for (int h = 0; h < kHeads; ++h)
#pragma unroll
    for (int i = 0; i < kChannels; ++i)
      mine[h][i] = h < heads && first + i < p.head_size ? newest.query[h][first + i] : 0.0F;
  for (int begin = keys.begin; begin < keys.end; begin += kKeys) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int j = begin + u * kTeams + team;
      float(&key)[kChannels] = round.key[u], (&value)[kChannels] = round.key[kAtOnce + u];
      if (j == at.position) {
#pragma unroll
        for (int i = 0; i < kChannels; ++i) {
          key[i] = first + i < p.head_size ? newest.key[first + i] : 0.0F;
          value[i] = first + i < p.head_size ? newest.value[first + i] : 0.0F;
        }
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kChannels; ++i) score = fmaf(mine[h][i], key[i], score);
        score = reduce_lanes(score, kLanes);
        if (j < keys.end) seen[h].add(score, value);
      }
    }
    if (begin + kKeys < keys.end) round.fetch(p, at, keys, begin + kKeys, team, first);
  }
}

/// The query heads of a block, at most kHeads of those that share keys.
template <int kHeads>
struct HeadsOfBlock {
  int kv_head, first_head, heads, first_query;  // first_head: of the group

  __device__ explicit HeadsOfBlock(const Decode& p)
      : kv_head(static_cast<int>(blockIdx.y) / p.group_blocks),
        first_head(static_cast<int>(blockIdx.y) % p.group_blocks * kHeads),
        heads(min(kHeads, p.group - first_head)),
        first_query(kv_head * p.group + first_head) {}
};

/// What the teams of a part have seen, in shared memory.
template <int kHeads>
struct Teams {
  float top[kTeams][kHeads], weight[kTeams][kHeads];

  template <int kChannels>
  __device__ void leave(float* sums, const Seen<kChannels> (&seen)[kHeads], int heads, int head_size, int team,
                        int first) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if (h >= heads) break;
      if (threadIdx.x % kLanes == 0) {
        top[team][h] = seen[h].top;
        weight[team][h] = seen[h].weight;
      }
#pragma unroll
      for (int i = 0; i < kChannels; ++i)
        if (first + i < head_size) sums[(team * kHeads + h) * head_size + first + i] = seen[h].sum[i];
    }
  }
  /// put(head, channel, sum, weight, top) over the channels of one thread of a part.
  template <class Put>
  __device__ void add_up(const float* sums, int heads, int head_size, int thread, Put put) const {
    for (int d = thread; d < head_size; d += kPartThreads)
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        if (h >= heads) break;
        float most = top[0][h];
#pragma unroll
        for (int t = 1; t < kTeams; ++t) most = fmaxf(most, top[t][h]);
        float whole = 0, sum = 0;
#pragma unroll
        for (int t = 0; t < kTeams; ++t) {
          const float factor = top[t][h] == -INFINITY ? 0.0F : expf(top[t][h] - most);
          whole = fmaf(weight[t][h], factor, whole);
          sum = fmaf(sums[(t * kHeads + h) * head_size + d], factor, sum);
        }
        put(h, d, sum, whole, most);
      }
  }
};

/// The whole of a head's channel from its parts: sum_of(part), and (weight, top)_of(part).
template <class SumOf, class EndOf>
__device__ float whole_of_parts(SumOf sum_of, EndOf end_of) {
  float top = -INFINITY;
#pragma unroll
  for (int i = 0; i < kDecodeParts; ++i) top = fmaxf(top, end_of(i).y);
  float weight = 0, sum = 0;
#pragma unroll
  for (int i = 0; i < kDecodeParts; ++i) {
    const float2 end = end_of(i);
    const float factor = end.y == -INFINITY ? 0.0F : expf(end.y - top);
    weight = fmaf(end.x, factor, weight);
    sum = fmaf(sum_of(i), factor, sum);
  }
  return sum / weight;
}

/// Block (part, key-value head and run of its query heads, token).
template <class T, int kHeads, int kChannels>
__global__ void __launch_bounds__(kPartThreads, parts_at_once(kChannels))
    part_kernel(const __grid_constant__ Decode p) {
  __shared__ Newest<kHeads> newest;
  __shared__ Teams<kHeads> teams;
  extern __shared__ float sums[];  // (teams, heads, D)
  const int part = static_cast<int>(blockIdx.x);
  const auto [kv_head, first_head, heads, first_query] = HeadsOfBlock<kHeads>(p);
  const int thread = static_cast<int>(threadIdx.x), team = thread / kLanes, first = thread % kLanes * kChannels;
  let_next_begin();
  if (!p.early) wait_for_previous();
  const Token<T> at(p, blockIdx.z, kv_head, first_query);
  const Keys keys(p, at.position, part);
  Round<T, kChannels> round;
  round.fetch(p, at, keys, keys.begin, team, first);
  if (p.early) wait_for_previous();

  at.turn(newest, p, heads, keys.has(at.position) && first_head == 0);
  __syncthreads();
  Seen<kChannels> seen[kHeads];
  attend<T, kHeads, kChannels>(seen, round, p, at, keys, newest, heads, team, first);
  teams.leave(sums, seen, heads, p.head_size, team, first);
  __syncthreads();
  teams.add_up(sums, heads, p.head_size, thread, [&](int h, int d, float sum, float weight, float top) {
    const int64_t head = int64_t{blockIdx.z} * p.kv_heads * p.group + first_query + h;
    float* to = p.parts + (head * kDecodeParts + part) * (p.head_size + 2);
    to[d] = sum;
    if (d != 0) return;
    to[p.head_size] = weight;
    to[p.head_size + 1] = top;
  });
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
  const float whole =
      whole_of_parts([&](int i) { return parts[i * pitch + d]; },
                     [&](int i) {
                       return float2{parts[i * pitch + p.head_size], parts[i * pitch + p.head_size + 1]};
                     });
  reinterpret_cast<T*>(p.o)[token * p.o_row + head * p.o_head + d] = from_f32<T>(whole);
}

/// The same in one, for one token: blocks as above, but with threads for two parts each. A cluster of them has all
/// parts, and each of its blocks puts together some channels of what the others send it.
template <class T, int kHeads, int kChannels>
__global__ void __launch_bounds__(kHalves* kPartThreads, 1) cluster_kernel(const __grid_constant__ Decode p) {
  __shared__ Newest<kHeads> newest;
  __shared__ Teams<kHeads> teams[kHalves];
  __shared__ float2 ends[kDecodeParts][kHeads];                            // weight, top
  __shared__ float parts[kDecodeParts][kHeads][kMostHeadSize / kCluster];  // this block's channels
  extern __shared__ float all_sums[];                                      // (halves, teams, heads, D)
  const int rank = static_cast<int>(blockIdx.x);
  const auto [kv_head, first_head, heads, first_query] = HeadsOfBlock<kHeads>(p);
  const int half = static_cast<int>(threadIdx.x) / kPartThreads, thread = static_cast<int>(threadIdx.x) % kPartThreads;
  const int part = rank * kHalves + half, team = thread / kLanes, first = thread % kLanes * kChannels;
  const int channels = (p.head_size + kCluster - 1) / kCluster;  // of a block
  float* sums = all_sums + half * kTeams * kHeads * p.head_size;
  arrive_in_cluster();
  if (!p.early) wait_for_previous();
  const Token<T> at(p, blockIdx.z, kv_head, first_query);
  const Keys keys(p, at.position, part);
  Round<T, kChannels> round;
  round.fetch(p, at, keys, keys.begin, team, first);
  if (p.early) wait_for_previous();
  let_next_begin();

  const bool writes = Keys(p, at.position, rank * kHalves, kHalves).has(at.position) && first_head == 0;
  at.turn(newest, p, heads, writes);
  __syncthreads();
  Seen<kChannels> seen[kHeads];
  attend<T, kHeads, kChannels>(seen, round, p, at, keys, newest, heads, team, first);
  teams[half].leave(sums, seen, heads, p.head_size, team, first);
  __syncthreads();
  wait_for_cluster();  // all blocks are there
  teams[half].add_up(sums, heads, p.head_size, thread, [&](int h, int d, float sum, float weight, float top) {
    store_in_block(&parts[part][h][d % channels], d / channels, sum);
    if (d < kCluster) store_in_block(&ends[part][h], d, {weight, top});
  });
  arrive_in_cluster();
  wait_for_cluster();  // all has arrived
  for (int i = static_cast<int>(threadIdx.x); i < heads * channels; i += kHalves * kPartThreads) {
    const int h = i / channels, c = i % channels, d = rank * channels + c;
    if (d >= p.head_size) continue;
    const float whole = whole_of_parts([&](int of) { return parts[of][h][c]; }, [&](int of) { return ends[of][h]; });
    reinterpret_cast<T*>(p.o)[blockIdx.z * p.o_row + (first_query + h) * p.o_head + d] = from_f32<T>(whole);
  }
}

/// Where blocks have processors to themselves; with more of them clusters wait for each other.
template <class T, int kHeads, int kChannels>
bool launch_cluster(const Ctx& ctx, const Decode& p, int64_t tokens) {
  const dim3 grid(kCluster, static_cast<unsigned>(p.kv_heads * p.group_blocks));
  const int bytes = kHalves * kTeams * kHeads * p.head_size * static_cast<int>(sizeof(float));
  const bool few = grid.x * grid.y <= static_cast<unsigned>(ctx.cuda->multiprocessors());
  if (ctx.cuda->capability_major() < kFirstWithClusters || tokens > 1 || !few || bytes > kMostSums) return false;
  const auto kernel = cluster_kernel<T, kHeads, kChannels>;
  // As the products beside it: a processor changes its share of shared memory only while it is empty.
  check_cuda(
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
      "cudaFuncSetAttribute");
  launch_early(ctx, kernel, grid, kHalves * kPartThreads, p, bytes, kCluster);
  return true;
}

template <class T, int kHeads, int kChannels>
void launch(const Ctx& ctx, Decode p, int64_t tokens) {
  p.group_blocks = static_cast<int>(ceil_div(int64_t{p.group}, int64_t{kHeads}));
  if (launch_cluster<T, kHeads, kChannels>(ctx, p, tokens)) return;
  const dim3 grid(kDecodeParts, static_cast<unsigned>(p.kv_heads * p.group_blocks), narrow<unsigned>(tokens));
  const int bytes = kTeams * kHeads * p.head_size * static_cast<int>(sizeof(float));
  launch_early(ctx, part_kernel<T, kHeads, kChannels>, grid, kPartThreads, p, bytes);
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
