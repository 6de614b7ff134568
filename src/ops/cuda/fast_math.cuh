// Exponentials and reciprocals as the processor has them: a result below 2^-126 is 0. exp2f and a division take several
// times the instructions to keep those.
#pragma once

namespace trireme::cuda {

constexpr float kLog2E = 1.4426950408889634F;

__device__ inline float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ inline float fast_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace trireme::cuda
