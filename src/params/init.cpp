#include "params/init.h"

#include <cmath>
#include <numbers>

#include "base/random.h"
#include "tensor/buffer.h"

namespace trireme {
namespace {

/// Four standard normals for global elements 4*block .. 4*block+3 (Box-Muller on two pairs of uniforms).
void normal_block(float out[4], const RandomKey& key, uint64_t block) {
  const Philox4 bits = key.draw(0, block);
  for (size_t pair = 0; pair < 2; ++pair) {
    const float u = (static_cast<float>(bits[2 * pair] >> 8) + 1.0F) * 0x1p-24F;  // (0, 1]
    const float angle = static_cast<float>(2 * std::numbers::pi) * uniform_float(bits[2 * pair + 1]);
    const float radius = std::sqrt(-2.0F * std::log(u));
    out[2 * pair] = radius * std::cos(angle);
    out[2 * pair + 1] = radius * std::sin(angle);
  }
}

void store(const Tensor& t, int64_t i, float v) {
  switch (t.dtype) {
    case DType::f32: t.as<float>()[i] = v; return;
    case DType::bf16: t.as<bf16_t>()[i] = to_bf16(v); return;
    case DType::f16: t.as<f16_t>()[i] = to_f16(v); return;
    default: CHECK(false, "parameters of type ", dtype_name(t.dtype));
  }
}

}  // namespace

void init_param(const Param& param, uint64_t seed, ThreadPool& pool) {
  if (param.value.device != kCpu) {
    const Buffer staging("initial values", kCpu, param.value.bytes());
    Param on_host = param;
    on_host.value = staging.view(param.value.dtype, param.value.shape);
    init_param(on_host, seed, pool);
    copy_memory(param.value.device, param.value.data, kCpu, staging.data(), staging.bytes());
    return;
  }
  const ParamSpec& spec = param.spec;
  const std::string& name = spec.tied_to.empty() ? spec.name : spec.tied_to;
  const RandomKey key = RandomKey::of(seed, name_hash(name));
  const int64_t global_cols = spec.shape.rank > 1 ? spec.shape[1] : 1;
  const int64_t local_cols = param.local_shape.rank > 1 ? param.local_shape[1] : 1;
  int64_t local_row = 0, local_col = 0;
  for (const Box& box : param.local_boxes) {
    pool.parallel_for(box.rows, 64, [&](int64_t begin, int64_t end, int) {
      float block[4];
      uint64_t have = ~uint64_t{0};
      for (int64_t r = begin; r < end; ++r) {
        const int64_t to = (local_row + r) * local_cols + local_col;
        const int64_t from = (box.row + r) * global_cols + box.col;
        for (int64_t c = 0; c < box.cols; ++c) {
          float v = spec.init == Init::ones ? 1.0F : 0.0F;
          if (spec.init == Init::normal) {
            const uint64_t index = static_cast<uint64_t>(from + c);
            if (index / 4 != have) normal_block(block, key, have = index / 4);
            v = spec.init_std * block[index % 4];
          }
          store(param.value, to + c, v);
        }
      }
    });
    if (spec.split.dim == 0) local_row += box.rows;
    if (spec.split.dim == 1) local_col += box.cols;
  }
}

}  // namespace trireme
