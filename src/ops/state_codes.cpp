#include "ops/state_codes.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/buffer.h"

namespace trireme {
namespace {

/// `t` itself, or its copy in `memory` where it lies on a GPU.
Tensor on_host(const Tensor& t, Buffer& memory) {
  if (t.device == kCpu) return t;
  memory = Buffer("coded state", kCpu, t.bytes());
  const Tensor copy = memory.view(t.dtype, t.shape);
  copy_memory(kCpu, copy.data, t.device, t.data, t.bytes());
  return copy;
}

/// The blocks' scales and codes of values whose magnitudes `magnitude` gives.
template <class Magnitude, class Encode>
void encode_blocks(const Tensor& codes, const Tensor& scales, const float* from, float least, Magnitude magnitude,
                   Encode encode) {
  for (int64_t begin = 0; begin < codes.numel(); begin += kCodeBlock) {
    const int64_t end = std::min(begin + kCodeBlock, codes.numel());
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, magnitude(from[i]));
    const float scale = block_scale(largest, least);
    scales.f32()[begin / kCodeBlock] = scale;
    for (int64_t i = begin; i < end; ++i) codes.as<uint8_t>()[i] = encode(from[i], scale);
  }
}

}  // namespace

void decode_state(float* out, const CodedState& state, int64_t begin, int64_t n) {
  Buffer values_memory, companion_memory;
  const bool joined = state.code == StateCode::joined;
  const int64_t first = state.in_run + begin, first_block = first / kCodeBlock;
  const Tensor values = on_host(state.values.slice(0, begin, begin + n), values_memory);
  const Tensor companion = on_host(joined ? state.companion.slice(0, begin, begin + n)
                                          : state.companion.slice(0, first_block, code_blocks(first + n)),
                                   companion_memory);
  for (int64_t i = 0; i < n; ++i) {
    if (joined) {
      out[i] = join_halves(companion.as<bf16_t>()[i], values.as<uint16_t>()[i]);
      continue;
    }
    const uint8_t code = values.as<uint8_t>()[i];
    const float scale = companion.f32()[(first + i) / kCodeBlock - first_block];
    const float root = decode_root(code, scale);
    out[i] = state.code == StateCode::moments ? decode_moment(code, scale) : root * root;
  }
}

void encode_state(const CodedState& state, const float* from) {
  CHECK(state.in_run == 0, "part of a run is to be encoded");
  const Buffer values_memory("codes", kCpu, state.values.bytes());
  const Buffer companion_memory("companions of codes", kCpu, state.companion.bytes());
  const Tensor values = values_memory.view(state.values.dtype, state.values.shape);
  const Tensor companion = companion_memory.view(state.companion.dtype, state.companion.shape);
  if (state.code == StateCode::joined) {
    for (int64_t i = 0; i < values.numel(); ++i) {
      companion.as<bf16_t>()[i] = high_half(from[i]);
      values.as<uint16_t>()[i] = low_half(from[i]);
    }
  } else if (state.code == StateCode::moments) {
    encode_blocks(
        values, companion, from, kLeastMoment, [](float m) { return std::fabs(m); },
        [](float m, float scale) { return encode_moment(m, scale, moment_steps().half()); });
  } else {
    encode_blocks(
        values, companion, from, kLeastRoot, [](float v) { return std::sqrt(v); },
        [](float v, float scale) { return encode_root(std::sqrt(v), scale, root_steps().half()); });
  }
  copy_memory(state.values.device, state.values.data, kCpu, values.data, values.bytes());
  copy_memory(state.companion.device, state.companion.data, kCpu, companion.data, companion.bytes());
}

}  // namespace trireme
