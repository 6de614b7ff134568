#include "params/spec.h"

#include <algorithm>
#include <numeric>

#include "base/failpoint.h"
#include "base/numeric.h"

namespace trireme {

namespace {

/// A run of rows or columns of one chunk.
struct ChunkShare {
  int64_t start = 0, size = 0;        // of the chunk, along the split dimension
  int64_t begin = 0, end = 0;         // of it, this rank's
  bool shared = false, first = true;  // whether ranks hold the same, and this is the first of them
};

std::vector<ChunkShare> chunk_shares(int64_t whole, const Split& split, int rank, int size) {
  const std::vector<int64_t> chunks = split.chunks.empty() ? std::vector<int64_t>{whole} : split.chunks;
  CHECK(std::accumulate(chunks.begin(), chunks.end(), int64_t{0}) == whole, "chunks do not sum to ", whole);
  CHECK(split.parts.empty() || split.parts.size() == chunks.size(), "parts of ", split.parts.size(), " chunks");
  std::vector<ChunkShare> shares;
  int64_t start = 0;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const int64_t pieces = split.pieces > 0 ? split.pieces : chunks[c], piece = div_exact(chunks[c], pieces);
    ChunkShare share{.start = start, .size = chunks[c]};
    if (split.parts.empty() || size <= pieces) {
      share.begin = part_begin(pieces, size, rank) * piece;
      share.end = part_begin(pieces, size, rank + 1) * piece;
    } else {
      const DealtPieces dealt = deal_pieces(pieces, size, rank);
      const int64_t parts = split.parts[c], part = div_exact(piece, parts);
      share.shared = parts == 1;  // also for a rank that is alone with its piece: all of them make the same sums
      share.first = !share.shared || dealt.place == 0 || failpoint("params.shared_twice");
      const int64_t ranks = share.shared ? 1 : dealt.sharers, place = share.shared ? 0 : dealt.place;
      share.begin = dealt.begin * piece + part_begin(parts, ranks, place) * part;
      share.end = dealt.begin * piece + part_begin(parts, ranks, place + 1) * part;
    }
    shares.push_back(share);
    start += chunks[c];
  }
  return shares;
}

/// Fills what `param` has to know of its place among the tensor ranks.
void place(Param& param, int rank, int size) {
  const ParamSpec& spec = param.spec;
  const int64_t numel = param.local_shape.numel();
  if (!spec.tied_to.empty()) return;
  if (spec.split.dim < 0 || size == 1) {
    if (rank == 0) param.own = {{0, numel}};
    return;
  }
  if (spec.split.dim == 1) {
    for (const ChunkShare& share : chunk_shares(spec.shape[1], spec.split, rank, size))
      CHECK(!share.shared, spec.name, ": columns that several ranks hold");
    param.own = {{0, numel}};
    return;
  }
  const int64_t width = param.local_shape.rank > 1 ? param.local_shape[1] : 1;
  int64_t row = 0;
  for (const ChunkShare& share : chunk_shares(spec.shape[0], spec.split, rank, size)) {
    const int64_t rows = share.end - share.begin;
    if (share.shared) param.shared.push_back({row, share.begin, rows, share.size});
    if (share.first) param.own.push_back({row * width, (row + rows) * width});
    row += rows;
  }
}

}  // namespace

DealtPieces deal_pieces(int64_t pieces, int64_t ranks, int64_t rank) {
  if (ranks <= pieces) return {part_begin(pieces, ranks, rank), part_begin(pieces, ranks, rank + 1)};
  const int64_t piece = ((rank + 1) * pieces - 1) / ranks;  // the one to whose ranks this one belongs
  const int64_t first = part_begin(ranks, pieces, piece);
  return {piece, piece + 1, rank - first, part_begin(ranks, pieces, piece + 1) - first};
}

std::vector<Box> local_boxes(const Shape& shape, const Split& split, int rank, int size) {
  const int64_t rows = shape[0], cols = shape.rank > 1 ? shape[1] : 1;
  if (split.dim < 0 || size == 1) return {{0, rows, 0, cols}};
  CHECK(split.dim < shape.rank, "split along dimension ", split.dim, " of ", shape.str());
  std::vector<Box> boxes;
  for (const ChunkShare& share : chunk_shares(shape[split.dim], split, rank, size)) {
    const int64_t begin = share.start + share.begin, count = share.end - share.begin;
    boxes.push_back(split.dim == 0 ? Box{begin, count, 0, cols} : Box{0, rows, begin, count});
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
  place(param, tp_rank_, tp_size_);
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
