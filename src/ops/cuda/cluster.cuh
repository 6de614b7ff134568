// Thread-block clusters (compute capability 9.0; PTX ISA, "barrier.cluster", "mapa"): blocks that run side by side,
// wait for each other and reach each other's shared memory. A kernel started without a cluster is one of a single
// block.
#pragma once

#include <cstdint>

#include "ops/cuda/barrier.cuh"
#include "ops/cuda/launch.cuh"

namespace trireme::cuda {

/// Returns at once. Its counterpart is wait_for_cluster(): what all threads of the cluster did before they called this
/// has then happened.
__device__ inline void arrive_in_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

__device__ inline void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// Stores two floats where block `block` of the cluster, which must have begun and not yet ended, has its own `to`.
__device__ inline void store_in_block(float2* to, int block, float2 value) {
#if __CUDA_ARCH__ >= 900
  uint32_t there = 0;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(to)), "r"(block));
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(there), "f"(value.x), "f"(value.y) : "memory");
#else
  if (block == 0) *to = value;
#endif
}

/// One float.
__device__ inline void store_in_block(float* to, int block, float value) {
#if __CUDA_ARCH__ >= 900
  uint32_t there = 0;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(to)), "r"(block));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");
#else
  if (block == 0) *to = value;
#endif
}

struct ClusterLaunch {
  unsigned blocks, cluster;  // in all, and of them in a cluster
  unsigned threads;          // a block
  int shared_bytes;          // a block, chosen at the launch
};

/// What CUDA is told of a launch in clusters; `attribute` must live as long.
inline cudaLaunchConfig_t config_of(const Ctx& ctx, const ClusterLaunch& shape, cudaLaunchAttribute& attribute) {
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {shape.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream_of(ctx);
  config.attrs = &attribute;
  config.numAttrs = 1;
  return config;
}

template <class... Args>
void allow_shared_bytes(const char* op, const ClusterLaunch& shape, void (*kernel)(Args...)) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes), op);
}

/// How many clusters of such blocks the GPU holds at once: some have processors that find no partner.
template <class... Args>
unsigned clusters_at_once(const Ctx& ctx, const char* op, const ClusterLaunch& shape, void (*kernel)(Args...)) {
  allow_shared_bytes(op, shape, kernel);
  cudaLaunchAttribute cluster{};
  const cudaLaunchConfig_t config = config_of(ctx, shape, cluster);
  int count = 0;
  check_cuda(cudaOccupancyMaxActiveClusters(&count, kernel, &config), op);
  return static_cast<unsigned>(count);
}

/// Starts `kernel` in clusters; DeviceError naming `op` where that is refused.
template <class... Args>
void launch_clusters(const Ctx& ctx, const char* op, const ClusterLaunch& shape, void (*kernel)(Args...),
                     const Args&... args) {
  allow_shared_bytes(op, shape, kernel);
  cudaLaunchAttribute cluster{};
  const cudaLaunchConfig_t config = config_of(ctx, shape, cluster);
  check_cuda(cudaLaunchKernelEx(&config, kernel, args...), op);
}

}  // namespace trireme::cuda
