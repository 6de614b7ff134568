// Table lookup and its gradient. A table may be a slice of the vocabulary: rows [row_begin, row_begin + R).
#pragma once

#include "tensor/ctx.h"

namespace trireme {

/// y (N, C) = table[ids - row_begin], 0 where the id is outside the slice; added to y if `accumulate`.
/// ids (N) i32, table (R, C).
void embedding_forward(Ctx& ctx, Tensor y, const Tensor& ids, const Tensor& table, int64_t row_begin,
                       bool accumulate = false);

/// dtable (R, C) f32, added: dtable[ids - row_begin] += dy, rows in the order of the tokens, so that the result does
/// not depend on the number of threads.
void embedding_backward(Ctx& ctx, Tensor dtable, const Tensor& ids, const Tensor& dy, int64_t row_begin);

}  // namespace trireme
