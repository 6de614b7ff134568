// AdamW in one pass over memory, with the CPU's arithmetic operation for operation: both give the same bits. One launch
// takes as many slices as fit into a kernel's arguments; its blocks are dealt to them in order, and each warp has one
// block of 8-bit codes, so that a scale is a matter of its lanes. Instructions are what takes the time where chance is
// drawn, so slices in whole shares of warps, which nearly all are, have a kernel of their own, and roots and quotients
// of numbers that are not extreme are not guarded one by one.
#include "ops/cuda/optim.h"

#include <algorithm>
#include <cmath>

#include "base/numeric.h"
#include "ops/cuda/fast_math.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/philox.cuh"
#include "ops/cuda/warp_share.cuh"

namespace trireme::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kRoundElements = kThreads * kAtOnce * kPack;
constexpr int64_t kBlockElements = 4 * kRoundElements;
constexpr int kMaxSlices = 32;  // arguments may take 4 KiB
static_assert(kWarpElements == kCodeBlock);

/// How a value is kept: AdamWSlice.
enum class Keep { master, joined, by_chance };

struct Slice {
  void* master;
  void* param;  // null: the master is the parameter
  void *m, *v;
  float *m_scales, *v_scales;
  const void* grad;
  int64_t n;
  RandomKey key;
  ElementPositions positions;
  float decay;
  int32_t first_block;
  bool packs;      // everything lies at addresses that packs need
  bool half_grad;  // bf16
  bool plain;      // and a warp's share is whole, of elements at positions that follow each other from one of four on
};

struct AdamW {
  Slice slices[kMaxSlices];
  int count;
  float beta1, one_minus_beta1, beta2, one_minus_beta2, step, inverse_root2, eps;
  const float* factor;  // null: 1
  bool quick;           // quick_change() may be asked
};
static_assert(sizeof(AdamW) <= 4096);

using Values = Share<float>;

__device__ void update_moments(const AdamW& a, float factor, float& m, float& v, float grad) {
  const float g = grad * factor;
  m = __fmaf_rn(m, a.beta1, __fmul_rn(g, a.one_minus_beta1));
  v = __fmaf_rn(v, a.beta2, __fmul_rn(__fmul_rn(g, g), a.one_minus_beta2));
}

/// m * step / (root of v * inverse_root2 + eps), each operation rounded to nearest.
__device__ float change_of(const AdamW& a, float m, float v) {
  const float denominator = __fmaf_rn(__fsqrt_rn(v), a.inverse_root2, a.eps);
  return __fdiv_rn(__fmul_rn(m, a.step), denominator);
}

/// The same of numbers far from overflow and underflow, for which false is returned: then the instructions by which the
/// compiler makes a root and a quotient need not be guarded one by one.
__device__ bool quick_change(const AdamW& a, float m, float v, float& change) {
  float inverse_root;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(inverse_root) : "f"(v));
  const float near_root = v * inverse_root;
  const float root = __fmaf_rn(__fmaf_rn(-near_root, near_root, v), inverse_root * 0.5F, near_root);
  const float denominator = __fmaf_rn(root, a.inverse_root2, a.eps), x = __fmul_rn(m, a.step);
  float inverse = fast_reciprocal(denominator);
  inverse = __fmaf_rn(inverse, __fmaf_rn(-denominator, inverse, 1.0F), inverse);
  const float near = x * inverse;
  change = __fmaf_rn(inverse, __fmaf_rn(-denominator, near, x), near);
  return (v >= 0x1p-100F) & (v <= 0x1p60F) & (fabsf(x) >= 0x1p-70F) & (fabsf(x) <= 0x1p60F);
}

/// Makes of every NaN one that has nothing in its lower half, so that chance leaves it a NaN.
__device__ void settle_nan(Values& value) {
  each(value, value,
       [](float x, int, int) { return isnan(x) ? __uint_as_float((__float_as_uint(x) | 0x400000) & 0xFFFF0000) : x; });
}

/// Values and moments, settled where chance will round them.
template <bool kValues, bool kMoments>
__device__ void update(const AdamW& a, float decay, float factor, Values& value, Values& m, Values& v,
                       const Values& grad) {
  Values change;
  bool quick = a.quick;
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      update_moments(a, factor, m[u][j], v[u][j], grad[u][j]);
      quick &= quick_change(a, m[u][j], v[u][j], change[u][j]) & isfinite(value[u][j]);
    }
  const auto apply = [&] {
    each(change, value, [&](float x, int u, int j) { return __fmaf_rn(value[u][j], decay, -x); });
  };
  if (quick) return apply();  // numbers all
  each(m, change, [&](float x, int u, int j) { return change_of(a, x, v[u][j]); });
  apply();
  if constexpr (kValues) settle_nan(value);
  if constexpr (kMoments) settle_nan(m), settle_nan(v);
}

template <bool kPlain>
__device__ void draw(const Slice& s, const Place<kPlain>& place, Share<RoundingBits>& bits) {
  Philox4 block{};
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    int64_t have = -1;
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      const int64_t position = kPlain ? s.positions.first + place.at(u) + j : s.positions.of(place.at(u) + j);
      if (kPlain ? j == 0 : position / 4 != have) block = draw_block(s.key, static_cast<uint64_t>(have = position / 4));
      bits[u][j] = kPlain ? RoundingBits{block[static_cast<size_t>(j)]} : RoundingBits::of(block, position);
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
  Share<uint16_t> high_, low_;
};

template <class T, Keep keep, bool kPlain>
__device__ void store_value(const Slice& s, const Place<kPlain>& place, const Values& value,
                            const Share<RoundingBits>& bits) {
  if constexpr (keep == Keep::master) {
    store(place, s.master, value);
    if (s.param == nullptr) return;
  }
  if constexpr (keep == Keep::by_chance) {
    Share<uint32_t> sums;
    each(value, sums, [&](float x, int u, int j) { return __float_as_uint(x) + bits[u][j].param(); });
    store_upper(place, s.param, sums);
  } else if constexpr (std::is_same_v<T, Bf16>) {
    Share<uint16_t> halves;
    each(value, halves, [](float x, int, int) { return high_half(x).bits; });
    store(place, s.param, halves);
    if constexpr (keep == Keep::joined) {
      each(value, halves, [](float x, int, int) { return low_half(x); });
      store(place, s.master, halves);
    }
  } else if constexpr (std::is_same_v<T, F16>) {
    Share<uint16_t> halves;
    each(value, halves, [](float x, int, int) { return __half_as_ushort(from_f32<F16>(x)); });
    store(place, s.param, halves);
  } else {
    store(place, s.param, value);
  }
}

template <bool kRoot, class S>
__device__ void decode(const Share<S>& raw, float scale, Values& value) {
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
  return reduce_lanes(largest, kWarp, Maximum());
}

/// All lanes of a warp. `scales`: of the slice.
template <class S, bool kRoot, bool kPlain>
__device__ void store_moments(const Place<kPlain>& place, void* to, float* scales, Values& value,
                              const Share<RoundingBits>& bits) {
  if constexpr (std::is_same_v<S, float>) {
    store(place, to, value);
  } else if constexpr (std::is_same_v<S, uint16_t>) {
    Share<uint32_t> sums;
    each(value, sums,
         [&](float x, int u, int j) { return __float_as_uint(x) + (kRoot ? bits[u][j].v() : bits[u][j].m()); });
    store_upper(place, to, sums);
  } else {
    Share<uint8_t> codes;
    if constexpr (kRoot) each(value, value, [](float x, int, int) { return __fsqrt_rn(x); });
    const float scale = block_scale(largest_of_warp(value), kRoot ? kLeastRoot : kLeastMoment);
    if (threadIdx.x % kWarp == 0) scales[place.begin / kCodeBlock] = scale;
    each(value, codes, [&](float x, int u, int j) {
      return kRoot ? encode_root(x, scale, root_steps().chance(bits[u][j].v()))
                   : encode_moment(x, scale, moment_steps().chance(bits[u][j].m()));
    });
    store(place, to, codes);
  }
}

/// A warp's elements from `begin` on, at least one of which is there. T: of the parameter; G: of the gradient, S: of m
/// and v, bf16 as its bits.
template <class T, Keep keep, class G, class S, bool kPlain>
__device__ void update_at(const AdamW& a, const Slice& s, int64_t begin, float factor) {
  const Place<kPlain> place{begin, s.n, s.packs};
  Stored<keep> stored;
  Share<S> raw_m, raw_v;
  Share<G> raw_grad;
  Values value, m, v, grad;
  stored.load_from(s, place);
  load(place, s.m, raw_m);
  load(place, s.v, raw_v);
  load(place, s.grad, raw_grad);
  float m_scale = 0, v_scale = 0;
  if constexpr (std::is_same_v<S, uint8_t>) {
    m_scale = s.m_scales[begin / kCodeBlock];
    v_scale = s.v_scales[begin / kCodeBlock];
  }
  Share<RoundingBits> bits;
  if constexpr (keep == Keep::by_chance || !std::is_same_v<S, float>) draw(s, place, bits);

  stored.decode(value);
  decode<false>(raw_m, m_scale, m);
  decode<true>(raw_v, v_scale, v);
  decode<false>(raw_grad, 1, grad);
  update<keep == Keep::by_chance, std::is_same_v<S, uint16_t>>(a, s.decay, factor, value, m, v, grad);
  store_value<T, keep>(s, place, value, bits);
  store_moments<S, false>(place, s.m, s.m_scales, m, bits);
  store_moments<S, true>(place, s.v, s.v_scales, v, bits);
}

template <class T, Keep keep, class G, class S, bool kPlain>
__global__ void __launch_bounds__(kThreads, kPlain && sizeof(S) > 1 ? 4 : 1)
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
  const float factor = a.factor == nullptr ? 1.0F : *a.factor;
  if (isnan(factor)) return;
  const int64_t first = (static_cast<int>(blockIdx.x) - s.first_block) * kBlockElements;
  const int64_t end = min(first + kBlockElements, s.n);
#pragma unroll 1
  for (int64_t begin = first + static_cast<int>(threadIdx.x) / kWarp * kWarpElements; begin < end;
       begin += kRoundElements)
    update_at<T, keep, G, S, kPlain>(a, s, begin, factor);
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
          .factor = args.factor.defined() ? args.factor.f32() : nullptr,
          .quick = args.bias_correction2 >= 0x1p-20F && args.eps >= 0 && args.eps <= 1};
}

Slice device_slice(const AdamWSlice& s, const AdamWArgs& args) {
  const bool packs = aligned(s.master) && aligned(s.m) && aligned(s.v) && aligned(s.grad) && aligned(s.param);
  return {
      .master = s.master.data,
      .param = s.param.data,
      .m = s.m.data,
      .v = s.v.data,
      .m_scales = static_cast<float*>(s.m_scales.data),
      .v_scales = static_cast<float*>(s.v_scales.data),
      .grad = s.grad.data,
      .n = s.grad.numel(),
      .key = s.key,
      .positions = s.positions,
      .decay = static_cast<float>(1.0 - static_cast<double>(args.lr) * static_cast<double>(s.weight_decay)),
      .first_block = 0,
      .packs = packs,
      .half_grad = s.grad.dtype == DType::bf16,
      .plain = packs && s.grad.numel() % kWarpElements == 0 && s.positions.width == 0 && s.positions.first % 4 == 0};
}

template <class T, Keep keep>
void launch_kept(Ctx& ctx, const AdamW& a, int blocks, DType moments) {
  const auto run = [&]<class G, class S>(Type<G>, Type<S>) {
    const auto kernel = a.slices[0].plain ? adamw_kernel<T, keep, G, S, true> : adamw_kernel<T, keep, G, S, false>;
    kernel<<<blocks, kThreads, 0, stream_of(ctx)>>>(a);
  };
  const auto run_with = [&](auto moment) {
    if constexpr (std::is_same_v<T, Bf16>)
      if (a.slices[0].half_grad) return run(Type<uint16_t>(), moment);
    run(Type<float>(), moment);
  };
  switch (moments) {
    case DType::f32: return run_with(Type<float>());
    case DType::bf16: return run_with(Type<uint16_t>());
    default: return run_with(Type<uint8_t>());
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
  for (const auto& [plain, half] : {std::pair{true, false}, {true, true}, {false, false}, {false, true}}) {
    for (const AdamWSlice& s : slices) {
      Slice slice = device_slice(s, args);
      if (slice.n == 0 || slice.plain != plain || slice.half_grad != half) continue;
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
