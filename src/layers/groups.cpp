#include "layers/groups.h"

#include "base/numeric.h"
#include "ops/basic.h"

namespace trireme {

int64_t LayerGroups::own_rows(int64_t whole) const {
  return sequence_parallel_ ? div_exact(whole, tp_->size()) : whole;
}

Batch LayerGroups::own_rows(const Batch& batch) const {
  const int64_t n = own_rows(batch.num_tokens()), begin = sequence_parallel_ ? n * tp_->rank() : 0;
  Batch own;
  own.positions = batch.positions.slice(0, begin, begin + n);
  if (batch.sample_ids.defined()) own.sample_ids = batch.sample_ids.slice(0, begin, begin + n);
  return own;
}

Tensor LayerGroups::gather(Ctx& ctx, const Tensor& x) const {
  if (!sequence_parallel_) return x;
  const Tensor whole = ctx.temp->take(x.dtype, {whole_rows(x.size(0)), x.size(1)});
  tp_->all_gather(whole, x);
  return whole;
}

Tensor LayerGroups::partial(Ctx& ctx, const Tensor& y) const {
  if (tp_->size() == 1 || (!sequence_parallel_ && y.dtype == DType::f32)) return y;
  return ctx.temp->take(DType::f32, {whole_rows(y.size(0)), y.size(1)});
}

void LayerGroups::sum(Ctx& ctx, const Tensor& y, const Tensor& part) const {
  if (tp_->size() == 1) return;
  if (!sequence_parallel_) {
    tp_->all_reduce(part, ReduceOp::sum);
    if (y.dtype != DType::f32) copy(ctx, y, part);
  } else if (y.dtype == DType::f32) {
    tp_->reduce_scatter(y, part);
  } else {
    const ArenaScope scope(*ctx.temp);
    const Tensor own = ctx.temp->take(DType::f32, y.shape);
    tp_->reduce_scatter(own, part);
    copy(ctx, y, own);
  }
}

}  // namespace trireme
