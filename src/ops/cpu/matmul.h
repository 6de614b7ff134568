// CPU kernels of the matrix products; the contract is in ops/matmul.h.
#pragma once

#include "ops/matmul.h"

namespace trireme::cpu {

/// How a product is cut into tiles. It depends on shapes and dtypes only, never on the number of threads, and a tile is
/// computed by one thread: so results do not depend on the number of threads either.
struct MatmulPlan {
  bool skinny = false;  // few rows: kernels of ops/cpu/skinny.h
  int64_t m = 0, n = 0, k = 0;
  int64_t m_parts = 1, n_parts = 1;
  int64_t m_tile = 0, n_tile = 0, k_panel = 0;       // largest sizes of a tile and of a panel of k within it
  int64_t a_floats = 0, b_floats = 0, c_floats = 0;  // f32 scratch of one tile for operands of other types
  int64_t scratch_floats = 0;                        // in all, for `threads` of them
};

MatmulPlan plan_matmul(const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options, int threads);

/// `scratch` holds plan.scratch_floats.
void matmul(Ctx& ctx, const MatmulPlan& plan, const Tensor& c, const Tensor& a, const Tensor& b,
            const MatmulOptions& options, float* scratch);

void sum_rows(Ctx& ctx, const Tensor& out, const Tensor& x);

}  // namespace trireme::cpu
