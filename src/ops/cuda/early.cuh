// Kernels that begin while the one before them ends ("programmatic dependent launch", compute capability 9.0): what
// does not depend on it, such as weights, is read meanwhile. Elsewhere they run one after the other.
#pragma once

#include "ops/cuda/launch.cuh"

namespace trireme::cuda {

/// Of a kernel started with launch_early: returns when the kernels before are done and their results are there. Nothing
/// they wrote may be read before, and nothing written.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// From here on the next kernel, if started with launch_early, may use what this one leaves idle. A kernel that leaves
/// room on some processors only says so after wait_for_previous(): where three kernels are at work at once, blocks of
/// one crowd on the processors with room, the next ones' where these leave it, and so on through all of a step.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Starts a kernel that calls wait_for_previous(), `cluster` blocks of the grid's first dimension in a cluster.
template <class Args>
void launch_early(const Ctx& ctx, void (*kernel)(Args), dim3 grid, dim3 block, const Args& args, int shared_bytes = 0,
                  unsigned cluster = 1) {
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (!ctx.train && ctx.cuda->capability_major() >= 9) {  // training's kernels are long
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {cluster, 1, 1};
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream_of(ctx);
  config.attrs = attributes;
  config.numAttrs = count;
  check_cuda(cudaLaunchKernelEx(&config, kernel, args), "cudaLaunchKernelEx");
}

}  // namespace trireme::cuda
