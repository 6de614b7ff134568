// A run of elements at any address, shared out to threads: an unaligned head, whole packs, a tail.
#pragma once

#include "ops/cuda/vector.cuh"

namespace trireme::cuda {

/// f(values, index of the first) for this thread's part of data[0, n), values being a float[1] or a float[kWidth<T>].
/// With kStore, what f leaves in `values` is written back. At least kWidth<T> threads take part.
template <bool kStore, int kAtOnce, class T, class F>
__device__ inline void walk(T* data, int64_t n, int64_t thread, int64_t threads, F f) {
  using Element = std::remove_const_t<T>;
  constexpr int V = kWidth<Element>;
  const auto single = [&](int64_t i) {
    float v[1] = {to_f32(data[i])};
    f(v, i);
    if constexpr (kStore) data[i] = from_f32<Element>(v[0]);
  };
  const auto misaligned = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data) % 16 / sizeof(T));
  const int64_t head = min(n, (V - misaligned) % V);
  const int64_t packs = (n - head) / V, tail = head + packs * V;
  if (thread < head) single(thread);
  auto* from = reinterpret_cast<std::conditional_t<kStore, Pack<Element, V>, const Pack<Element, V>>*>(data + head);
  for (int64_t p = thread; p < packs; p += threads * kAtOnce) {
    Pack<Element, V> raw[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (const int64_t i = p + u * threads; i < packs) raw[u] = from[i];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int64_t i = p + u * threads;
      if (i >= packs) break;
      float v[V];
      unpack(raw[u], v);
      f(v, head + i * V);
      if constexpr (kStore) from[i] = pack<Element>(v);
    }
  }
  if (tail + thread < n) single(tail + thread);
}

}  // namespace trireme::cuda
