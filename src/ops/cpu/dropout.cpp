// Dropout by counters.
#include "ops/cpu/dropout.h"

#include "base/random.h"
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/dropout.cpp"
#include "hwy/foreach_target.h"  // first: it includes this file once per instruction set

#include "ops/cpu/philox-inl.h"
#include "ops/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace trireme::cpu::HWY_NAMESPACE {

void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args) {
  const RandomKey key = RandomKey::of(ctx.seed, args.site, static_cast<uint64_t>(ctx.step));
  const int32_t threshold = dropout_threshold(args.p);
  const float scale = 1.0F / (1.0F - args.p);
  const int64_t* samples = args.sample_ids.as<int64_t>();
  const int32_t* positions = args.positions.i32();
  for_chunks<1, 1>(ctx, {Rows(y)}, {Rows(x)}, [&](auto& out, auto& in, int64_t n, int64_t r, int64_t c) HWY_ATTR {
    alignas(64) uint32_t words[kChunk + kPhiloxMargin];
    const int64_t channel = args.channel_begin + c;
    const int64_t skip = channel % 4;
    const uint64_t hi = mix64(static_cast<uint64_t>(samples[r]), static_cast<uint64_t>(positions[r]));
    draw_words(key, hi, static_cast<uint64_t>(channel / 4), skip + n, words);
    multiply_by_mask(in[0], out[0], n, words + skip, threshold, scale);
  });
}

}  // namespace trireme::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace trireme::cpu {

HWY_EXPORT(dropout);

void dropout(Ctx& ctx, const Tensor& y, const Tensor& x, const DropoutArgs& args) {
  HWY_DYNAMIC_DISPATCH(dropout)(ctx, y, x, args);
}

}  // namespace trireme::cpu
#endif
