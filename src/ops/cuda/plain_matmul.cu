// Tiles of both operands pass through shared memory as f32; a thread computes one element.
#include "ops/cuda/plain_matmul.h"

#include "base/numeric.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {
namespace {

constexpr int kSide = 16;

/// A matrix by its own rows and columns, whatever way it is stored.
struct Matrix {
  char* data;
  int64_t row_stride, col_stride;  // elements
  DType dtype;

  Matrix(const Tensor& t, bool transposed)
      : data(t.as<char>()), row_stride(t.stride(0)), col_stride(t.stride(1)), dtype(t.dtype) {
    if (transposed) std::swap(row_stride, col_stride);
  }
  __device__ float at(int64_t row, int64_t col) const {
    const int64_t i = row * row_stride + col * col_stride;
    switch (dtype) {
      case DType::bf16: return to_f32(reinterpret_cast<const Bf16*>(data)[i]);
      case DType::f16: return to_f32(reinterpret_cast<const F16*>(data)[i]);
      default: return reinterpret_cast<const float*>(data)[i];
    }
  }
  __device__ void set(int64_t row, int64_t col, float v) const {
    const int64_t i = row * row_stride + col * col_stride;
    switch (dtype) {
      case DType::bf16: reinterpret_cast<Bf16*>(data)[i] = from_f32<Bf16>(v); break;
      case DType::f16: reinterpret_cast<F16*>(data)[i] = from_f32<F16>(v); break;
      default: reinterpret_cast<float*>(data)[i] = v;
    }
  }
};

struct Product {
  Matrix c, a, b, bias;
  int64_t m, n, k;
  float alpha;
  bool accumulate, has_bias;
};

__global__ void __launch_bounds__(kSide* kSide) product_kernel(const __grid_constant__ Product p) {
  __shared__ float a_tile[kSide][kSide + 1], b_tile[kSide][kSide + 1];
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
  const int64_t row = int64_t{blockIdx.x} * kSide + y, col = int64_t{blockIdx.y} * kSide + x;
  float sum = 0;
  for (int64_t k = 0; k < p.k; k += kSide) {
    a_tile[y][x] = row < p.m && k + x < p.k ? p.a.at(row, k + x) : 0.0F;
    b_tile[y][x] = k + y < p.k && col < p.n ? p.b.at(k + y, col) : 0.0F;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kSide; ++i) sum += a_tile[y][i] * b_tile[i][x];
    __syncthreads();
  }
  if (row >= p.m || col >= p.n) return;
  sum *= p.alpha;
  if (p.accumulate) sum += p.c.at(row, col);
  if (p.has_bias) sum += p.bias.at(0, col);
  p.c.set(row, col, sum);
}

}  // namespace

void plain_matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& o) {
  const bool has_bias = o.bias != nullptr;
  const Tensor bias = has_bias ? o.bias->reshape({1, c.size(1)}) : c;
  const Product product{Matrix(c, false),
                        Matrix(a, o.transpose_a),
                        Matrix(b, o.transpose_b),
                        Matrix(bias, false),
                        c.size(0),
                        c.size(1),
                        a.size(o.transpose_a ? 0 : 1),
                        o.alpha,
                        o.accumulate,
                        has_bias};
  const dim3 grid(narrow<unsigned>(ceil_div(c.size(0), kSide)), narrow<unsigned>(ceil_div(c.size(1), kSide)));
  product_kernel<<<grid, kSide * kSide, 0, stream_of(ctx)>>>(product);
  check_launch("matmul");
}

}  // namespace trireme::cuda
