#include "tensor/tensor.h"

#include "device/memory.h"

namespace trireme {

std::string Shape::str() const {
  std::string out = "(";
  for (int d = 0; d < rank; ++d) out += cat(d ? ", " : "", (*this)[d]);
  return out + ")";
}

Tensor::Tensor(void* data_, DType dtype_, Device device_, const Shape& shape_)
    : data(data_), dtype(dtype_), device(device_), shape(shape_) {
  int64_t stride = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    strides[static_cast<size_t>(d)] = stride;
    stride *= shape[d];
  }
}

bool Tensor::contiguous() const {
  int64_t expected = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    if (shape[d] != 1 && stride(d) != expected) return false;
    expected *= shape[d];
  }
  return true;
}

Tensor Tensor::slice(int d, int64_t begin, int64_t end) const {
  CHECK(d >= 0 && d < rank() && 0 <= begin && begin <= end && end <= size(d), str(), " sliced at ", d, ": [", begin,
        ", ", end, ")");
  Tensor out = *this;
  out.shape[d] = end - begin;
  if (data != nullptr) out.data = static_cast<char*>(data) + begin * stride(d) * dtype_size(dtype);
  return out;
}

Tensor Tensor::reshape(const Shape& to) const {
  CHECK(contiguous() && to.numel() == numel(), str(), " reshaped to ", to.str());
  return {data, dtype, device, to};
}

Tensor Tensor::rows() const {
  CHECK(rank() >= 1, "rows of an undefined tensor");
  Tensor out = *this;
  const int last = rank() - 1;
  int64_t n = 1;
  int64_t row_stride = last > 0 ? stride(last - 1) : size(last);
  for (int d = last - 1; d >= 0; --d) {
    CHECK(size(d) == 1 || stride(d) == row_stride * n, str(), " has no uniform row stride");
    n *= size(d);
  }
  out.shape = {n, size(last)};
  out.strides = {row_stride, stride(last)};
  return out;
}

double Tensor::item() const {
  CHECK(dtype == DType::f64 && numel() == 1, str(), " is not one float64");
  double value = 0;
  copy_memory(kCpu, &value, device, data, sizeof value);
  return value;
}

std::string Tensor::str() const { return cat(dtype_name(dtype), " ", shape.str(), " on ", device_name(device.kind)); }

}  // namespace trireme
