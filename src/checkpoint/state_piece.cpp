#include "checkpoint/state_piece.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "checkpoint/model_io.h"
#include "models/names.h"
#include "tensor/buffer.h"

namespace trireme {
namespace {

/// Rows [row, row + rows) and columns [col, col + cols) of the local parameter, of which `piece` has the elements, cut
/// where the global parameter is: its local parts lie one after the other along the split dimension.
void cut(std::vector<PieceBox>& out, const StatePiece& piece, const Box& local) {
  const Param& param = *piece.param;
  const bool by_columns = param.spec.split.dim == 1;
  const int64_t width = param.local_shape.rank > 1 ? param.local_shape[1] : 1;
  int64_t row = 0, col = 0;  // where the next part begins in the local parameter
  for (const Box& part : param.local_boxes) {
    const Box shared = intersect(local, {row, part.rows, col, part.cols});
    if (num_elements(shared) > 0) {
      const int64_t first = shared.row * width + shared.col - piece.begin;
      Tensor view = piece.values.slice(0, first, first + (shared.rows - 1) * width + shared.cols);
      view.shape = param.local_shape.rank > 1 ? Shape{shared.rows, shared.cols} : Shape{shared.rows};
      view.strides = {param.local_shape.rank > 1 ? width : 1, 1};
      out.push_back(
          {{part.row + shared.row - row, shared.rows, part.col + shared.col - col, shared.cols}, view, first});
    }
    (by_columns ? col : row) += by_columns ? part.cols : part.rows;
  }
}

const std::string& stored_name(const Param& param) {
  return param.spec.tied_to.empty() ? param.spec.name : param.spec.tied_to;
}

}  // namespace

std::vector<PieceBox> boxes_of(const StatePiece& piece) {
  const int64_t width = piece.param->local_shape.rank > 1 ? piece.param->local_shape[1] : 1;
  const int64_t end = piece.begin + piece.values.numel();
  std::vector<PieceBox> boxes;
  for (int64_t at = piece.begin; at < end;) {  // the end of a row, whole rows, the begin of a row
    const int64_t row = at / width, col = at % width, rows = (end - at) / width;
    const Box local =
        col > 0 || rows == 0 ? Box{row, 1, col, std::min(width - col, end - at)} : Box{row, rows, 0, width};
    cut(boxes, piece, local);
    at += num_elements(local);
  }
  return boxes;
}

std::string state_name(const StatePiece& piece) { return cat(stored_name(*piece.param), ".", piece.kind); }

void read_weights(const Checkpoint& from, const ModelConfig& config, const ParamTable& params,
                  std::span<const StatePiece> pieces) {
  std::map<std::string, std::vector<DiskTensor>> on_disk;  // by the parameter that they are rows of
  for (const DiskTensor& disk : disk_tensors(config, params)) on_disk[disk.param->spec.name].push_back(disk);
  for (const StatePiece& piece : pieces)
    for (const PieceBox& part : boxes_of(piece))
      for (const DiskTensor& disk : on_disk.at(stored_name(*piece.param)))
        read_box(part.view, part.box, disk, checked_shape(disk, from.weight(disk.name)));
}

NamedTensor named_state(const StatePiece& piece, const PieceBox& part) {
  if (piece.code == StateCode::plain) return named_box(state_name(piece), part.view, piece.param->spec.shape, part.box);
  CHECK(part.view.contiguous(), state_name(piece), ": codes of several boxes");
  const auto fill = [piece, first = part.first, cols = part.box.cols](Tensor out, int64_t row) {
    decode_state(out.f32(), piece.coded(), first + row * cols, out.numel());
  };
  return {state_name(piece), DType::f32, piece.param->spec.shape, part.box, fill};
}

void read_optimizer(const Checkpoint& from, std::span<const StatePiece> pieces) {
  for (const StatePiece& piece : pieces) {
    if (piece.code != StateCode::plain) {
      const Buffer memory("values of coded state", kCpu, piece.values.numel() * dtype_size(DType::f32));
      StatePiece plain{piece.param, piece.kind, piece.begin, memory.view(DType::f32, piece.values.shape)};
      read_optimizer(from, std::span(&plain, 1));
      encode_state(piece.coded(), plain.values.f32());
      continue;
    }
    const StoredTensor& stored = from.optimizer(state_name(piece));
    if (!(stored.shape == piece.param->spec.shape))
      throw IoError(cat(stored.file, ": tensor ", stored.name, ": expected shape ", piece.param->spec.shape.str(),
                        ", found ", stored.shape.str()));
    for (const PieceBox& part : boxes_of(piece)) stored.read(part.view, part.box);
  }
}

}  // namespace trireme
