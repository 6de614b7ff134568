#include "tensor/dtype.h"

#include <array>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {
constexpr std::array<std::pair<DType, std::string_view>, 10> kNames{{{DType::f32, "float32"},
                                                                     {DType::bf16, "bfloat16"},
                                                                     {DType::f16, "float16"},
                                                                     {DType::f64, "float64"},
                                                                     {DType::i32, "int32"},
                                                                     {DType::i64, "int64"},
                                                                     {DType::u8, "uint8"},
                                                                     {DType::u16, "uint16"},
                                                                     {DType::e4m3, "float8_e4m3fn"},
                                                                     {DType::e5m2, "float8_e5m2"}}};
}  // namespace

std::string_view dtype_name(DType t) {
  for (const auto& [type, name] : kNames)
    if (type == t) return name;
  throw_bug(__FILE__, __LINE__, "known dtype", "");
}

DType dtype_from_name(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& [type, known] : kNames) {
    if (known == name) return type;
    names.push_back(known);
  }
  throw ConfigError(cat("unknown dtype '", name, "'", did_you_mean(name, names)));
}

float to_float(f16_t v) {
  const uint32_t sign = uint32_t{v.bits & 0x8000u} << 16;
  const uint32_t exponent = (v.bits >> 10) & 31, fraction = v.bits & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
  return sign ? -magnitude : magnitude;
}

f16_t to_f16(float v) {
  const uint32_t u = std::bit_cast<uint32_t>(v);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  const uint32_t magnitude = u & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return {static_cast<uint16_t>(sign | 0x7E00)};
  if (magnitude >= 0x477FF000) return {static_cast<uint16_t>(sign | 0x7C00)};  // rounds to 65536 or more
  if (magnitude < 0x38800000) {  // below 2^-14: the sum's ulp is 2^-24, the f16 subnormal step
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000))};
  }
  const uint32_t rounded = magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | (rounded >> 13))};
}

}  // namespace trireme
