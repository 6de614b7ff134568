// What MatmulOptions asks for beside a product, for where it does not come in the same pass.
#pragma once

#include "ops/matmul.h"

namespace trireme {

/// The other tensor of a residual or an activation, or nullptr where there is nothing of the kind.
const Tensor* side_of(const MatmulOptions& options);

/// The product by itself: its options, and where it goes.
MatmulOptions product_alone(const MatmulOptions& options);
const Tensor& product_of(const Tensor& c, const MatmulOptions& options);

/// All the rest, by ctx.backend's kernels, once the product is there. `scratch`: on a GPU memory for partial sums of a
/// bias's gradient.
void finish_product(Ctx& ctx, const Tensor& c, const MatmulOptions& options, const Tensor& scratch);

}  // namespace trireme
