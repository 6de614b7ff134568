// Matrix products by cuBLASLt; the contract is in ops/matmul.h. What cuBLASLt has no algorithm for (operands of unlike
// types, odd alignments) takes a plain kernel. The fastest of its candidates is found once for each kind of product, by
// trying them (matmul_tuning.h), and remembered in the context and in a file of its cache folder.
#pragma once

#include "ops/matmul.h"

namespace trireme::cuda {

constexpr int64_t kMatmulWorkspace = int64_t{64} << 20;  // bytes; parts of a sum over k take up to 47 MiB

/// `workspace`: (kMatmulWorkspace) u8.
void matmul(Ctx& ctx, const Tensor& c, const Tensor& a, const Tensor& b, const MatmulOptions& options,
            const Tensor& workspace);

/// As ops/matmul.h has it.
void set_tf32(CudaContext& context, bool on);

/// "cuBLASLt 13.0.2".
std::string blas_name();

}  // namespace trireme::cuda
