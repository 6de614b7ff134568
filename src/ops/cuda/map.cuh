// Elementwise kernels: a functor with kOut outputs and kIn inputs, called with V elements of each. Every thread starts
// all of its loads before the first store, so that several are in flight; an output may alias an input element for
// element.
#pragma once

#include <algorithm>
#include <array>

#include "base/numeric.h"
#include "ops/cuda/early.cuh"
#include "ops/cuda/largest.cuh"
#include "ops/cuda/vector.cuh"

namespace trireme::cuda {

constexpr int kMapThreads = 256;

/// A functor whose outputs, bf16 in whole packs, leave their largest magnitude.
template <class F>
struct Measuring : F {
  uint32_t* largest;  // an f32 as bits, which is raised
};
template <class F>
constexpr bool kMeasures = false;
template <class F>
constexpr bool kMeasures<Measuring<F>> = true;

template <class F>
struct MapArgs {
  Rows out[F::kOut];
  Rows in[std::max(F::kIn, 1)];
  int64_t packs = 0, packs_per_row = 0;
  F f;
};

template <class F, class TOut, class TIn, int V>
__global__ void __launch_bounds__(kMapThreads) map_kernel(const __grid_constant__ MapArgs<F> a) {
  constexpr int kAtOnce = F::kIn >= 2 ? 2 : 4;
  const int64_t first = int64_t{blockIdx.x} * (kMapThreads * kAtOnce) + threadIdx.x;
  let_next_begin();
  wait_for_previous();
  [[maybe_unused]] uint32_t largest = 0;  // of both halves of words
  Pack<TIn, V> in[kAtOnce][std::max(F::kIn, 1)];
  int64_t row[kAtOnce], col[kAtOnce];
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    const int64_t i = first + u * kMapThreads;
    if (i >= a.packs) break;
    row[u] = a.packs_per_row == a.packs ? 0 : i / a.packs_per_row;
    col[u] = (i - row[u] * a.packs_per_row) * V;
#pragma unroll
    for (int k = 0; k < F::kIn; ++k) in[u][k] = load<TIn, V>(a.in[k], a.in[k].row(row[u]), col[u]);
  }
#pragma unroll
  for (int u = 0; u < kAtOnce; ++u) {
    if (first + u * kMapThreads >= a.packs) break;
    float values[std::max(F::kIn, 1)][V], results[F::kOut][V];
#pragma unroll
    for (int k = 0; k < F::kIn; ++k) unpack(in[u][k], values[k]);
    a.f(results, values, row[u], col[u]);
#pragma unroll
    for (int k = 0; k < F::kOut; ++k) {
      store<TOut, V>(a.out[k], a.out[k].row(row[u]), col[u], results[k]);
      if constexpr (kMeasures<F>) largest = larger_halves(largest, pack<TOut>(results[k]));
    }
  }
  if constexpr (kMeasures<F>) leave_largest(a.f.largest, largest);
}

template <class TOut, class TIn, int V, class F>
void launch_map(const Ctx& ctx, const char* op, MapArgs<F> a) {
  constexpr int kAtOnce = F::kIn >= 2 ? 2 : 4;
  a.packs_per_row = a.out[0].cols / V;
  a.packs = a.out[0].count * a.packs_per_row;
  const dim3 blocks(narrow<unsigned>(ceil_div(a.packs, kMapThreads * kAtOnce)));
  launch_early(ctx, map_kernel<F, TOut, TIn, V>, blocks, kMapThreads, a);
  check_launch(op);
}

/// Whether something holds for all tensors.
template <size_t kOut, size_t kIn, class Holds>
bool every(const std::array<Tensor, kOut>& out, const std::array<Tensor, kIn>& in, Holds holds) {
  return std::all_of(out.begin(), out.end(), holds) && std::all_of(in.begin(), in.end(), holds);
}

/// Tensors that are all contiguous become one row each; whether they are.
template <size_t kOut, size_t kIn>
bool flatten(std::array<Tensor, kOut>& out, std::array<Tensor, kIn>& in) {
  if (!every(out, in, [](const Tensor& t) { return t.contiguous(); })) return false;
  const int64_t n = out[0].numel();
  for (Tensor& t : out) t = t.reshape({n});
  for (Tensor& t : in) t = t.reshape({n});
  return true;
}

template <class F>
MapArgs<F> map_args(const std::array<Tensor, F::kOut>& out, const std::array<Tensor, F::kIn>& in, const F& f) {
  MapArgs<F> a{.f = f};
  std::transform(out.begin(), out.end(), a.out, [](const Tensor& t) { return Rows(t); });
  std::transform(in.begin(), in.end(), a.in, [](const Tensor& t) { return Rows(t); });
  return a;
}

/// f over all elements as map() does it, where they are bf16 in whole packs; else false, and nothing is done. Raises
/// *largest, an f32 as bits, to the largest magnitude of what is written.
template <class F>
bool map_measured(const Ctx& ctx, const char* op, uint32_t* largest, std::array<Tensor, F::kOut> out,
                  std::array<Tensor, F::kIn> in, const F& f) {
  const auto fits = [](const Tensor& t) { return t.dtype == DType::bf16 && packs_fit(Rows(t), kWidth<Bf16>); };
  if (out[0].numel() == 0 || !every(out, in, fits)) return false;
  flatten(out, in);
  launch_map<Bf16, Bf16, kWidth<Bf16>>(ctx, op, map_args<Measuring<F>>(out, in, {f, largest}));
  return true;
}

/// f over all elements. F has kOut, kIn and kPlaced (it uses row and column) and
/// operator()(float (&out)[kOut][V], const float (&in)[kIn][V], row, column).
template <class F>
void map(const Ctx& ctx, const char* op, std::array<Tensor, F::kOut> out, std::array<Tensor, F::kIn> in, const F& f) {
  const int64_t n = out[0].numel();
  if (n == 0) return;
  const bool flat = !F::kPlaced && flatten(out, in);
  const DType to = out[0].dtype;
  DType from = to;
  if constexpr (F::kIn > 0) from = in[0].dtype;
  const bool alike = every(out, in, [=](const Tensor& t) { return t.dtype == to; });
  const bool converts = F::kOut == 1 && F::kIn == 1 && (to == DType::f32 || from == DType::f32);
  const int width = to == DType::f32 || from == DType::f32 ? 4 : 8;
  // A flat run of any length: all whole packs, then the rest by itself.
  if (const int64_t rest = n % width; flat && rest != 0 && n > width) {
    auto part = [&](int64_t begin, int64_t end) {
      auto out_part = out;
      auto in_part = in;
      for (Tensor& t : out_part) t = t.slice(0, begin, end);
      for (Tensor& t : in_part) t = t.slice(0, begin, end);
      map(ctx, op, out_part, in_part, f);
    };
    part(0, n - rest);
    part(n - rest, n);
    return;
  }
  const MapArgs<F> a = map_args(out, in, f);
  const auto fits = [=](const Rows& r) { return packs_fit(r, width); };
  const bool aligned = std::all_of(a.out, a.out + F::kOut, fits) && std::all_of(a.in, a.in + F::kIn, fits);
  if (aligned && alike) {
    with_type(to, [&]<class T>(Type<T>) { launch_map<T, T, kWidth<T>>(ctx, op, a); });
    return;
  }
  if constexpr (F::kOut == 1 && F::kIn == 1 && !F::kPlaced) {
    if (aligned && converts) {
      if (to == DType::f32)
        with_type(from, [&]<class T>(Type<T>) { launch_map<float, T, 4>(ctx, op, a); });
      else
        with_type(to, [&]<class T>(Type<T>) { launch_map<T, float, 4>(ctx, op, a); });
      return;
    }
  }
  launch_map<Any, Any, 1>(ctx, op, a);
}

}  // namespace trireme::cuda
