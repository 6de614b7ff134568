#include "params/spec.h"

#include <algorithm>
#include <numeric>

#include "base/numeric.h"

namespace trireme {

std::vector<Box> local_boxes(const Shape& shape, const Split& split, int rank, int size) {
  const int64_t rows = shape[0], cols = shape.rank > 1 ? shape[1] : 1;
  if (split.dim < 0 || size == 1) return {{0, rows, 0, cols}};
  CHECK(split.dim < shape.rank, "split along dimension ", split.dim, " of ", shape.str());
  const int64_t whole = shape[split.dim];
  const std::vector<int64_t> chunks = split.chunks.empty() ? std::vector<int64_t>{whole} : split.chunks;
  CHECK(std::accumulate(chunks.begin(), chunks.end(), int64_t{0}) == whole, "chunks do not sum to ", whole);
  std::vector<Box> boxes;
  int64_t start = 0;
  for (const int64_t chunk : chunks) {
    const int64_t pieces = split.pieces > 0 ? split.pieces : chunk, piece = div_exact(chunk, pieces);
    const int64_t begin = start + part_begin(pieces, size, rank) * piece;
    const int64_t end = start + part_begin(pieces, size, rank + 1) * piece;
    boxes.push_back(split.dim == 0 ? Box{begin, end - begin, 0, cols} : Box{0, rows, begin, end - begin});
    start += chunk;
  }
  return boxes;
}

Shape local_shape(const Shape& shape, const Split& split, int rank, int size) {
  if (split.dim < 0 || size == 1) return shape;
  Shape local = shape;
  local[split.dim] = 0;
  for (const Box& box : local_boxes(shape, split, rank, size)) local[split.dim] += split.dim == 0 ? box.rows : box.cols;
  return local;
}

ParamBuilder ParamBuilder::scoped(const std::string& name) const {
  ParamBuilder inner = *this;
  inner.prefix_ += name + ".";
  return inner;
}

ParamBuilder ParamBuilder::for_unit(int unit) const {
  ParamBuilder inner = *this;
  inner.unit_ = unit;
  return inner;
}

Param& ParamBuilder::add(ParamSpec spec) const {
  spec.name = prefix_ + spec.name;
  spec.unit = unit_;
  for (const Param& p : table_) CHECK(p.spec.name != spec.name, "parameter ", spec.name, " declared twice");
  Param& param = table_.emplace_back();
  param.local_shape = local_shape(spec.shape, spec.split, tp_rank_, tp_size_);
  param.local_boxes = local_boxes(spec.shape, spec.split, tp_rank_, tp_size_);
  param.spec = std::move(spec);
  return param;
}

const Param& tie_owner(const ParamTable& table, const Param& param) {
  if (param.spec.tied_to.empty()) return param;
  const auto owner =
      std::find_if(table.begin(), table.end(), [&](const Param& p) { return p.spec.name == param.spec.tied_to; });
  CHECK(owner != table.end(), param.spec.name, " is tied to ", param.spec.tied_to, ", which does not exist");
  return *owner;
}

}  // namespace trireme
