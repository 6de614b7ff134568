// Plain loops: on a CPU 8-bit floats save nothing, but the program computes there what it computes on a GPU.
#include "ops/cpu/float8.h"

#include <array>
#include <bit>

#include "ops/cpu/rows.h"
#include "tensor/float8.h"

namespace trireme::cpu {
namespace {

std::array<float, 256> values_of(DType dtype) {
  std::array<float, 256> values{};
  for (size_t code = 0; code < values.size(); ++code)
    values[code] = float8_format(dtype).decode(static_cast<uint8_t>(code));
  return values;
}

}  // namespace

/// NaN where one is there: as bits, it is the largest of all.
void find_largest(Ctx&, const Tensor& largest, const Tensor& x) {
  uint32_t bits = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const uint32_t magnitude = x.as<bf16_t>()[i].bits & 0x7FFFU;
    bits = magnitude > bits ? magnitude : bits;
  }
  *largest.f32() = std::bit_cast<float>(bits << 16);
}

void quantize(Ctx& ctx, const Float8& out, const Tensor& largest, const Tensor& x) {
  const Float8Format format = float8_format(out.rows.defined() ? out.rows.dtype : out.cols.dtype);
  const float range = float8_range(*largest.f32()), factor = format.limit / range;
  *out.scale.f32() = range / format.limit;
  const int64_t rows = x.size(0), cols = x.size(1);
  parallel(ctx, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        const uint8_t code = format.encode(to_float(x.as<bf16_t>()[r * cols + c]) * factor);
        if (out.rows.defined()) out.rows.as<uint8_t>()[r * cols + c] = code;
        if (out.cols.defined()) out.cols.as<uint8_t>()[c * rows + r] = code;
      }
  });
}

void load_float8(float* to, int64_t ld, DType dtype, const uint8_t* from, int64_t from_ld, int64_t rows, int64_t cols) {
  static const std::array<float, 256> e4m3 = values_of(DType::e4m3), e5m2 = values_of(DType::e5m2);
  const std::array<float, 256>& values = dtype == DType::e4m3 ? e4m3 : e5m2;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) to[r * ld + c] = values[from[r * from_ld + c]];
}

}  // namespace trireme::cpu
