// Elementwise helpers and dropout by counters.
#include "ops/cuda/basic.h"

#include "base/random.h"
#include "ops/cuda/map.cuh"

namespace trireme::cuda {
namespace {

struct Fill {
  static constexpr int kOut = 1, kIn = 0;
  static constexpr bool kPlaced = false;
  float value;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&)[1][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = value;
  }
};

struct Copy {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = x[0][i];
  }
};

struct Add {
  static constexpr int kOut = 1, kIn = 2;
  static constexpr bool kPlaced = false;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&in)[2][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = in[0][i] + in[1][i];
  }
};

struct Scale {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = false;
  float factor;
  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t, int64_t) const {
#pragma unroll
    for (int i = 0; i < V; ++i) y[0][i] = x[0][i] * factor;
  }
};

/// The mask that ops/kernel_args.h defines, bit for bit.
struct Dropout {
  static constexpr int kOut = 1, kIn = 1;
  static constexpr bool kPlaced = true;
  RandomKey key;
  uint32_t threshold;
  float scale;
  const int64_t* samples;
  const int32_t* positions;
  int64_t channel_begin;

  template <int V>
  __device__ void operator()(float (&y)[1][V], const float (&x)[1][V], int64_t row, int64_t col) const {
    const uint64_t hi = mix64(static_cast<uint64_t>(samples[row]), static_cast<uint64_t>(positions[row]));
    const auto channel = static_cast<uint64_t>(channel_begin + col);
    const auto keep = [this](uint32_t word, float v) { return (word >> 8) >= threshold ? v * scale : 0.0F; };
    if (V % 4 == 0 && channel % 4 == 0) {
#pragma unroll
      for (int i = 0; i + 4 <= V; i += 4) {
        const Philox4 words = key.draw(hi, (channel + i) / 4);
#pragma unroll
        for (int j = 0; j < 4; ++j) y[0][i + j] = keep(words[j], x[0][i + j]);
      }
    } else {
      for (int i = 0; i < V; ++i) {
        const Philox4 words = key.draw(hi, (channel + i) / 4);
        const auto place = static_cast<uint32_t>((channel + i) % 4);
        const uint32_t word = place < 2 ? (place == 0 ? words[0] : words[1]) : (place == 2 ? words[2] : words[3]);
        y[0][i] = keep(word, x[0][i]);
      }
    }
  }
};

}  // namespace

void fill(Ctx& ctx, const Tensor& y, float value) { map(ctx, "fill", {y}, {}, Fill{value}); }
void copy(Ctx& ctx, const Tensor& y, const Tensor& x) { map(ctx, "copy", {y}, {x}, Copy()); }
void add(Ctx& ctx, const Tensor& y, const Tensor& a, const Tensor& b) { map(ctx, "add", {y}, {a, b}, Add()); }
void scale(Ctx& ctx, const Tensor& y, float factor) { map(ctx, "scale", {y}, {y}, Scale{factor}); }

void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args) {
  refuse_to_repeat(ctx, "dropout draws another mask in every step");
  map(ctx, "dropout", {y}, {x},
      Dropout{.key = RandomKey::of(ctx.seed, args.site, static_cast<uint64_t>(ctx.step)),
              .threshold = static_cast<uint32_t>(dropout_threshold(args.p)),
              .scale = 1.0F / (1.0F - args.p),
              .samples = args.sample_ids.as<int64_t>(),
              .positions = args.positions.i32(),
              .channel_begin = args.channel_begin});
}

}  // namespace trireme::cuda
