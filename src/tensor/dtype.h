// Element types. The dtype is a tag on the tensor; kernels are typed inside a backend only.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace trireme {

enum class DType : uint8_t { f32, bf16, f16, f64, i32, i64, u8, u16, e4m3, e5m2 };

constexpr int64_t dtype_size(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16:
    case DType::u16: return 2;
    case DType::u8:
    case DType::e4m3:
    case DType::e5m2: return 1;
  }
  return 0;
}

constexpr bool is_floating(DType t) {
  return t == DType::f32 || t == DType::bf16 || t == DType::f16 || t == DType::f64;
}

/// The 8-bit floats of tensor/float8.h: operands of products only.
constexpr bool is_float8(DType t) { return t == DType::e4m3 || t == DType::e5m2; }

/// Distance from 1 to the next larger value; 0 for integers.
constexpr double dtype_epsilon(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::bf16: return 0x1p-7;
    case DType::f16: return 0x1p-10;
    default: return 0;
  }
}

/// "float32", "bfloat16", "float16", ...: the names of Hugging Face's torch_dtype.
std::string_view dtype_name(DType t);

/// The type of such a name; ConfigError with the nearest valid one where it is none.
DType dtype_from_name(std::string_view name);

struct bf16_t {
  uint16_t bits;
};
struct f16_t {
  uint16_t bits;
};

constexpr float to_float(bf16_t v) { return std::bit_cast<float>(uint32_t{v.bits} << 16); }

/// Round to nearest, ties to even; NaN stays NaN.
constexpr bf16_t to_bf16(float v) {
  const uint32_t u = std::bit_cast<uint32_t>(v);
  if ((u & 0x7FFFFFFF) > 0x7F800000) return {static_cast<uint16_t>((u >> 16) | 0x40)};
  return {static_cast<uint16_t>((u + 0x7FFF + ((u >> 16) & 1)) >> 16)};
}

float to_float(f16_t v);
/// Round to nearest, ties to even; overflow gives infinity.
f16_t to_f16(float v);

}  // namespace trireme
