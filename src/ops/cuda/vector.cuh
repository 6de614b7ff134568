// Elements in registers. A Pack of V elements moves with one instruction of up to 16 bytes; arithmetic is in f32. `Any`
// stands for an element whose type is known at run time only: the slow path of mixed or unaligned operands, so that a
// kernel is written once and compiled for four types.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "tensor/tensor.h"

namespace trireme::cuda {

using Bf16 = __nv_bfloat16;
using F16 = __half;
struct Any {};

/// Held as 32-bit words: a pack of __nv_bfloat16 would take a register an element.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  uint32_t words[sizeof(T) * V / 4];
};
template <>
struct Pack<Any, 1> {
  float value;
};

/// Elements in 16 bytes.
template <class T>
constexpr int kWidth = 16 / sizeof(T);
template <>
inline constexpr int kWidth<Any> = 1;

__device__ inline float to_f32(float v) { return v; }
__device__ inline float to_f32(Bf16 v) { return __bfloat162float(v); }
__device__ inline float to_f32(F16 v) { return __half2float(v); }

template <class T>
__device__ inline T from_f32(float v) {
  if constexpr (std::is_same_v<T, Bf16>)
    return __float2bfloat16_rn(v);
  else if constexpr (std::is_same_v<T, F16>)
    return __float2half_rn(v);
  else
    return v;
}

/// The two floats of a word of 16-bit elements, the lower one first.
template <class T>
__device__ inline float2 halves_of(uint32_t word) {
  if constexpr (std::is_same_v<T, Bf16>)
    return {__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000)};
  else
    return __half22float2(reinterpret_cast<const __half2&>(word));
}

/// Rounds to nearest even.
template <class T>
__device__ inline uint32_t word_of(float low, float high) {
  if constexpr (std::is_same_v<T, Bf16>) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<const uint32_t&>(two);
  } else {
    const __half2 two = __floats2half2_rn(low, high);
    return reinterpret_cast<const uint32_t&>(two);
  }
}

template <class T, int V>
__device__ inline void unpack(const Pack<T, V>& from, float (&to)[V]) {
  if constexpr (std::is_same_v<T, Any>) {
    to[0] = from.value;
  } else if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int i = 0; i < V; ++i) to[i] = __uint_as_float(from.words[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 2) {
      const float2 two = halves_of<T>(from.words[i / 2]);
      to[i] = two.x;
      to[i + 1] = two.y;
    }
  }
}

template <class T, int V>
__device__ inline Pack<T, V> pack(const float (&from)[V]) {
  Pack<T, V> to;
  if constexpr (std::is_same_v<T, Any>) {
    to.value = from[0];
  } else if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int i = 0; i < V; ++i) to.words[i] = __float_as_uint(from[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 2) to.words[i / 2] = word_of<T>(from[i], from[i + 1]);
  }
  return to;
}

/// A tensor of rank 1 (one row) to 3 with unit stride in the last dimension, as kernels see it.
struct Rows {
  char* base = nullptr;
  int64_t outer_stride = 0, inner_stride = 0;  // bytes
  int64_t count = 0, cols = 0;
  int32_t inner = 1;  // rows in the second dimension of rank 3
  DType dtype = DType::f32;

  Rows() = default;
  explicit Rows(const Tensor& t) : base(t.as<char>()), cols(t.size(t.rank() - 1)), dtype(t.dtype) {
    const int64_t size = dtype_size(t.dtype);
    inner = t.rank() == 3 ? static_cast<int32_t>(t.size(1)) : 1;
    inner_stride = t.rank() == 3 ? t.stride(1) * size : 0;
    outer_stride = t.rank() >= 2 ? t.stride(0) * size : 0;
    count = t.rank() >= 2 ? t.size(0) * inner : 1;
  }

  __device__ char* row(int64_t r) const {
    return inner == 1 ? base + r * outer_stride : base + r / inner * outer_stride + r % inner * inner_stride;
  }
};

/// Whether every row can be moved in whole packs of `width` elements.
inline bool packs_fit(const Rows& r, int width) {
  const int64_t bytes = width * dtype_size(r.dtype);
  const auto aligned = [=](int64_t n) { return n % bytes == 0; };
  return r.cols % width == 0 && aligned(reinterpret_cast<intptr_t>(r.base)) &&
         (r.count <= 1 || aligned(r.outer_stride)) && aligned(r.inner_stride);
}

template <class T, int V>
__device__ inline Pack<T, V> load(const Rows& rows, const char* row, int64_t c) {
  if constexpr (std::is_same_v<T, Any>) {
    switch (rows.dtype) {
      case DType::bf16: return {to_f32(reinterpret_cast<const Bf16*>(row)[c])};
      case DType::f16: return {to_f32(reinterpret_cast<const F16*>(row)[c])};
      default: return {reinterpret_cast<const float*>(row)[c]};
    }
  } else {
    return *reinterpret_cast<const Pack<T, V>*>(row + c * static_cast<int64_t>(sizeof(T)));
  }
}

template <class T, int V>
__device__ inline void store(const Rows& rows, char* row, int64_t c, const float (&values)[V]) {
  if constexpr (std::is_same_v<T, Any>) {
    switch (rows.dtype) {
      case DType::bf16: reinterpret_cast<Bf16*>(row)[c] = from_f32<Bf16>(values[0]); break;
      case DType::f16: reinterpret_cast<F16*>(row)[c] = from_f32<F16>(values[0]); break;
      default: reinterpret_cast<float*>(row)[c] = values[0];
    }
  } else {
    *reinterpret_cast<Pack<T, V>*>(row + c * static_cast<int64_t>(sizeof(T))) = pack<T>(values);
  }
}

/// The value as it will be read back after it is stored.
template <class T>
__device__ inline float rounded(const Rows& rows, float v) {
  if constexpr (std::is_same_v<T, Any>) {
    switch (rows.dtype) {
      case DType::bf16: return to_f32(from_f32<Bf16>(v));
      case DType::f16: return to_f32(from_f32<F16>(v));
      default: return v;
    }
  } else {
    return to_f32(from_f32<T>(v));
  }
}

template <class T>
struct Type {
  using type = T;
};

/// f(Type<T>()) for the element type of a storage dtype.
template <class F>
void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f32: f(Type<float>()); break;
    case DType::bf16: f(Type<Bf16>()); break;
    case DType::f16: f(Type<F16>()); break;
    default: throw Bug(cat("no kernel for ", dtype_name(dtype)));
  }
}

}  // namespace trireme::cuda
