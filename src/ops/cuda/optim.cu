// AdamW in one pass over memory, with the CPU's arithmetic operation for operation: both give the same bits. One launch
// takes as many slices as fit into a kernel's arguments; its blocks are dealt to them in order, and each warp has one
// block of 8-bit codes, so that a scale is a matter of its lanes. Slices in whole packs at even positions, which nearly
// all are, have a kernel without a branch: where chance is drawn, instructions are what takes the time.
#include "ops/cuda/optim.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 32;
constexpr int kAtOnce = 2;  // packs a thread
constexpr int kPack = 4;
constexpr int kWarpElements = kLanes * kAtOnce * kPack;
constexpr int64_t kBlockElements = kThreads * kAtOnce * kPack;
constexpr int kMaxSlices = 32;  // arguments may take 4 KiB
static_assert(kWarpElements == kCodeBlock);

/// How a value is kept: AdamWSlice.
enum class Keep { master, joined, by_chance };

struct Slice {
  void* master;
  void* param;  // null: the master is the parameter
  void *m, *v;
  float *m_scales, *v_scales;
  const float* grad;
  int64_t n;
  RandomKey key;
  ElementPositions positions;
  float decay;
  int32_t first_block;
  bool packs;  // everything lies at addresses that packs need
  bool plain;  // and there are whole packs only, of elements at even positions that lie one after the other
};

struct AdamW {
  Slice slices[kMaxSlices];
  int count;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, step, inverse_root2, eps;
  const float* factor;  // null: 1
};
static_assert(sizeof(AdamW) <= 4096);

/// What a thread has of a slice: kAtOnce packs.
using Values = float[kAtOnce][kPack];

template <class E>
struct alignas(sizeof(E) * kPack) Four {
  E e[kPack];
};

/// Where a thread's packs lie, and how many of a pack's elements are there: all or none of a plain slice's.
template <bool kPlain>
struct Place {
  int64_t begin;  // of the warp's elements
  int64_t n;      // of the slice
  bool packs;

  __device__ int64_t at(int u) const {
    return begin + u * kLanes * kPack + static_cast<int>(threadIdx.x) % kLanes * kPack;
  }
  __device__ bool whole(int u) const { return kPlain ? at(u) < n : packs && at(u) + kPack <= n; }
};

template <class E, bool kPlain>
__device__ void load(const Place<kPlain>& place, const void* from, E (&to)[kAtOnce][kPack]) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const E* p = static_cast<const E*>(from) + place.at(u);
    if (kPlain || place.whole(u)) {
      const Four<E> four = place.whole(u) ? *reinterpret_cast<const Four<E>*>(p) : Four<E>();
#pragma unroll
      for (int j = 0; j < kPack; ++j) to[u][j] = four.e[j];
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j) to[u][j] = place.at(u) + j < place.n ? p[j] : E();
    }
  }
}

template <class E, bool kPlain>
__device__ void store(const Place<kPlain>& place, void* to, const E (&from)[kAtOnce][kPack]) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    E* p = static_cast<E*>(to) + place.at(u);
    if (place.whole(u)) {
      Four<E> four;
#pragma unroll
      for (int j = 0; j < kPack; ++j) four.e[j] = from[u][j];
      *reinterpret_cast<Four<E>*>(p) = four;
    } else if constexpr (!kPlain) {
#pragma unroll
      for (int j = 0; j < kPack; ++j)
        if (place.at(u) + j < place.n) p[j] = from[u][j];
    }
  }
}

/// to = f(from), element by element.
template <class A, class B, class F>
__device__ void each(const A (&from)[kAtOnce][kPack], B (&to)[kAtOnce][kPack], F f) {
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
    for (int j = 0; j < kPack; ++j) to[u][j] = f(from[u][j], u, j);
}

__device__ void update(const AdamW& a, float decay, float factor, float& master, float& m, float& v, float grad) {
  const float g = grad * factor;
  m = __fmaf_rn(m, a.beta1, __fmul_rn(g, a.one_minus_beta1));
  v = __fmaf_rn(v, a.beta2, __fmul_rn(__fmul_rn(g, g), a.one_minus_beta2));
  const float denominator = __fmaf_rn(__fsqrt_rn(v), a.inverse_root2, a.eps);
  master = __fmaf_rn(master, decay, -__fdiv_rn(__fmul_rn(m, a.step), denominator));
}

template <bool kPlain>
__device__ void draw(const Slice& s, const Place<kPlain>& place, RoundingBits (&bits)[kAtOnce][kPack]) {
  Philox4 words{};
  if constexpr (kPlain) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
      for (int j = 0; j < kPack; j += 2) {
        words = s.key.draw(0, static_cast<uint64_t>(s.positions.first + place.at(u) + j) / 2);
        bits[u][j] = {words[0], words[1]};
        bits[u][j + 1] = {words[2], words[3]};
      }
  } else {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      int64_t have = -1;
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        const int64_t position = s.positions.of(place.at(u) + j);
        if (position / 2 != have) words = s.key.draw(0, static_cast<uint64_t>(have = position / 2));
        bits[u][j] = position % 2 == 0 ? RoundingBits{words[0], words[1]} : RoundingBits{words[2], words[3]};
      }
    }
  }
}

/// The values of a slice as they lie in memory, loaded before anything is stored.
template <Keep keep>
struct Stored {
  template <bool kPlain>
  __device__ void load_from(const Slice& s, const Place<kPlain>& place) {
    if constexpr (keep == Keep::master) {
      load(place, s.master, master_);
    } else {
      load(place, s.param, high_);
      if constexpr (keep == Keep::joined) load(place, s.master, low_);
    }
  }
  __device__ void decode(Values& value) const {
    if constexpr (keep == Keep::master)
      each(master_, value, [](float x, int, int) { return x; });
    else if constexpr (keep == Keep::joined)
      each(high_, value, [this](uint16_t high, int u, int j) { return join_halves({high}, low_[u][j]); });
    else
      each(high_, value, [](uint16_t high, int, int) { return to_float(bf16_t{high}); });
  }

 private:
  Values master_;
  uint16_t high_[kAtOnce][kPack], low_[kAtOnce][kPack];
};

template <class T, Keep keep, bool kPlain>
__device__ void store_value(const Slice& s, const Place<kPlain>& place, const Values& value,
                            const RoundingBits (&bits)[kAtOnce][kPack]) {
  if constexpr (keep == Keep::master) {
    store(place, s.master, value);
    if (s.param == nullptr) return;
  }
  if constexpr (std::is_same_v<T, Bf16>) {
    uint16_t halves[kAtOnce][kPack];
    if constexpr (keep == Keep::by_chance)
      each(value, halves, [&](float x, int u, int j) { return stochastic_bf16(x, bits[u][j].param()).bits; });
    else
      each(value, halves, [](float x, int, int) { return high_half(x).bits; });
    store(place, s.param, halves);
    if constexpr (keep == Keep::joined) {
      each(value, halves, [](float x, int, int) { return low_half(x); });
      store(place, s.master, halves);
    }
  } else {
    T rounded[kAtOnce][kPack];
    each(value, rounded, [](float x, int, int) { return from_f32<T>(x); });
    store(place, s.param, rounded);
  }
}

template <class S, bool kRoot>
__device__ void decode_moments(const S (&raw)[kAtOnce][kPack], float scale, Values& value) {
  each(raw, value, [scale](S x, int, int) {
    if constexpr (std::is_same_v<S, float>) {
      return x;
    } else if constexpr (std::is_same_v<S, uint16_t>) {
      return to_float(bf16_t{x});
    } else if constexpr (kRoot) {
      const float root = decode_root(x, scale);
      return __fmul_rn(root, root);
    } else {
      return decode_moment(x, scale);
    }
  });
}

__device__ float largest_of_warp(const Values& value) {
  float largest = 0;
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
    for (int j = 0; j < kPack; ++j) largest = fmaxf(largest, fabsf(value[u][j]));
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, lanes));
  return largest;
}

/// All lanes of a warp. `scales`: of the slice.
template <class S, bool kRoot, bool kPlain>
__device__ void store_moments(const Place<kPlain>& place, void* to, float* scales, Values& value,
                              const RoundingBits (&bits)[kAtOnce][kPack]) {
  if constexpr (std::is_same_v<S, float>) {
    store(place, to, value);
  } else {
    S raw[kAtOnce][kPack];
    if constexpr (std::is_same_v<S, uint16_t>) {
      each(value, raw, [&](float x, int u, int j) {
        return stochastic_bf16(x, (kRoot ? bits[u][j].v() : bits[u][j].m()) & 0xFFFF).bits;
      });
    } else {
      if constexpr (kRoot) each(value, value, [](float x, int, int) { return __fsqrt_rn(x); });
      const float scale = block_scale(largest_of_warp(value), kRoot ? kLeastRoot : kLeastMoment);
      if (threadIdx.x % kLanes == 0) scales[place.begin / kCodeBlock] = scale;
      each(value, raw, [&](float x, int u, int j) {
        return kRoot ? encode_root(x, scale, bits[u][j].v()) : encode_moment(x, scale, bits[u][j].m());
      });
    }
    store(place, to, raw);
  }
}

/// T: of the parameter; S: of m and v, bf16 as its bits.
template <class T, Keep keep, class S, bool kPlain>
__global__ void __launch_bounds__(kThreads, kPlain && sizeof(S) == 2 ? 4 : 1)
    adamw_kernel(const __grid_constant__ AdamW a) {
  int low = 0, high = a.count - 1;  // the last slice that begins at or before this block
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (a.slices[middle].first_block <= static_cast<int>(blockIdx.x))
      low = middle;
    else
      high = middle - 1;
  }
  const Slice& s = a.slices[low];
  const int64_t begin = (static_cast<int>(blockIdx.x) - s.first_block) * kBlockElements +
                        static_cast<int>(threadIdx.x) / kLanes * kWarpElements;
  const float factor = a.factor == nullptr ? 1.0F : *a.factor;
  if (begin >= s.n || isnan(factor)) return;  // the whole warp
  const Place<kPlain> place{begin, s.n, s.packs};

  Stored<keep> stored;
  S raw_m[kAtOnce][kPack], raw_v[kAtOnce][kPack];
  Values value, m, v, grad;
  stored.load_from(s, place);
  load(place, s.m, raw_m);
  load(place, s.v, raw_v);
  load(place, s.grad, grad);
  float m_scale = 0, v_scale = 0;
  if constexpr (std::is_same_v<S, uint8_t>) {
    m_scale = s.m_scales[begin / kCodeBlock];
    v_scale = s.v_scales[begin / kCodeBlock];
  }
  RoundingBits bits[kAtOnce][kPack];
  if constexpr (keep == Keep::by_chance || !std::is_same_v<S, float>) draw(s, place, bits);

  stored.decode(value);
  decode_moments<S, false>(raw_m, m_scale, m);
  decode_moments<S, true>(raw_v, v_scale, v);
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
    for (int j = 0; j < kPack; ++j) update(a, s.decay, factor, value[u][j], m[u][j], v[u][j], grad[u][j]);
  store_value<T, keep>(s, place, value, bits);
  store_moments<S, false>(place, s.m, s.m_scales, m, bits);
  store_moments<S, true>(place, s.v, s.v_scales, v, bits);
}

bool aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(kPack * dtype_size(t.dtype)) == 0;
}

AdamW coefficients(const AdamWArgs& args) {
  // lr / bc1 and 1 / sqrt(bc2) are formed in double: they scale every update.
  return {.slices = {},
          .count = 0,
          .beta1 = args.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(args.beta1)),
          .beta2 = args.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(args.beta2)),
          .step = static_cast<float>(static_cast<double>(args.lr) / static_cast<double>(args.bias_correction1)),
          .inverse_root2 = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.bias_correction2))),
          .eps = args.eps,
          .factor = args.factor.defined() ? args.factor.f32() : nullptr};
}

Slice device_slice(const AdamWSlice& s, const AdamWArgs& args) {
  const bool packs = aligned(s.master) && aligned(s.m) && aligned(s.v) && aligned(s.grad) && aligned(s.param);
  return {.master = s.master.data,
          .param = s.param.data,
          .m = s.m.data,
          .v = s.v.data,
          .m_scales = static_cast<float*>(s.m_scales.data),
          .v_scales = static_cast<float*>(s.v_scales.data),
          .grad = s.grad.f32(),
          .n = s.grad.numel(),
          .key = s.key,
          .positions = s.positions,
          .decay = static_cast<float>(1.0 - static_cast<double>(args.lr) * static_cast<double>(s.weight_decay)),
          .first_block = 0,
          .packs = packs,
          .plain = packs && s.grad.numel() % kPack == 0 && s.positions.width == 0 && s.positions.first % 2 == 0};
}

template <class T, Keep keep>
void launch_kept(Ctx& ctx, const AdamW& a, int blocks, DType moments) {
  const auto run = [&]<class S>(Type<S>) {
    const auto kernel = a.slices[0].plain ? adamw_kernel<T, keep, S, true> : adamw_kernel<T, keep, S, false>;
    kernel<<<blocks, kThreads, 0, stream_of(ctx)>>>(a);
  };
  switch (moments) {
    case DType::f32: return run(Type<float>());
    case DType::bf16: return run(Type<uint16_t>());
    default: return run(Type<uint8_t>());
  }
}

/// `like`: any of the slices.
void launch(Ctx& ctx, const AdamW& a, int blocks, const AdamWSlice& like) {
  const DType moments = like.m.dtype;
  if (!like.master.defined()) {
    launch_kept<Bf16, Keep::by_chance>(ctx, a, blocks, moments);
  } else if (like.master.dtype == DType::u16) {
    launch_kept<Bf16, Keep::joined>(ctx, a, blocks, moments);
  } else {
    with_type(like.param.defined() ? like.param.dtype : DType::f32,
              [&]<class T>(Type<T>) { launch_kept<T, Keep::master>(ctx, a, blocks, moments); });
  }
  check_launch("adamw_update");
}

__global__ void clip_kernel(float* factor, const double* squares, const double* loss, ClipArgs args) {
  *factor = clip_factor(sqrt(*squares), *loss, args);
}

}  // namespace

void adamw_update(Ctx& ctx, std::span<const AdamWSlice> slices, const AdamWArgs& args) {
  AdamW a = coefficients(args);
  int64_t blocks = 0;
  const auto flush = [&] {
    if (blocks > 0) launch(ctx, a, narrow<int>(blocks), slices[0]);
    a.count = 0;
    blocks = 0;
  };
  for (const bool plain : {true, false}) {
    for (const AdamWSlice& s : slices) {
      Slice slice = device_slice(s, args);
      if (slice.n == 0 || slice.plain != plain) continue;
      if (a.count == kMaxSlices) flush();
      slice.first_block = narrow<int32_t>(blocks);
      a.slices[a.count++] = slice;
      blocks += ceil_div(slice.n, kBlockElements);
    }
    flush();
  }
}

void clip_factor(Ctx& ctx, const Tensor& factor, const Tensor& squares, const Tensor& loss, const ClipArgs& args) {
  clip_kernel<<<1, 1, 0, stream_of(ctx)>>>(factor.f32(), squares.as<double>(), loss.as<double>(), args);
  check_launch("clip_factor");
}

}  // namespace trireme::cuda
