// A tensor is a view: pointer, dtype, device, up to five dimensions with strides. It never owns;
// Buffers and arenas do. On the meta device the pointer is null and only shapes are real.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/error.h"
#include "device/device.h"
#include "tensor/dtype.h"

namespace trireme {

constexpr int kMaxDims = 5;

struct Shape {
  std::array<int64_t, kMaxDims> sizes{};
  int rank = 0;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= kMaxDims, dims.size(), " dimensions");
    for (const int64_t d : dims) sizes[static_cast<size_t>(rank++)] = d;
  }
  int64_t operator[](int d) const { return sizes[static_cast<size_t>(d)]; }
  int64_t& operator[](int d) { return sizes[static_cast<size_t>(d)]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= (*this)[d];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank != o.rank) return false;
    for (int d = 0; d < rank; ++d)
      if ((*this)[d] != o[d]) return false;
    return true;
  }
  std::string str() const;  // "(2, 3)"
};

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Device device = kCpu;
  Shape shape;
  std::array<int64_t, kMaxDims> strides{};  // in elements

  Tensor() = default;
  /// Contiguous, row-major.
  Tensor(void* data, DType dtype, Device device, const Shape& shape);

  bool defined() const { return shape.rank > 0; }
  int rank() const { return shape.rank; }
  int64_t size(int d) const { return shape[d]; }
  int64_t stride(int d) const { return strides[static_cast<size_t>(d)]; }
  int64_t numel() const { return shape.numel(); }
  int64_t bytes() const { return numel() * dtype_size(dtype); }
  bool contiguous() const;

  /// The elements; T must be the C++ type of the dtype.
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  float* f32() const {
    CHECK(dtype == DType::f32, "a ", dtype_name(dtype), " tensor used as float32");
    return static_cast<float*>(data);
  }
  int32_t* i32() const {
    CHECK(dtype == DType::i32, "a ", dtype_name(dtype), " tensor used as int32");
    return static_cast<int32_t*>(data);
  }

  /// Elements [begin, end) of dimension d; same strides.
  Tensor slice(int d, int64_t begin, int64_t end) const;
  /// Same elements in another shape; this must be contiguous.
  Tensor reshape(const Shape& to) const;
  /// All but the last dimension merged into one: (..., C) -> (N, C). The merged ones must be contiguous
  /// with respect to each other.
  Tensor rows() const;

  /// The only element, of f64. Waits for the device it lies on.
  double item() const;

  std::string str() const;  // "float32 (2, 3) on cpu"
};

}  // namespace trireme
