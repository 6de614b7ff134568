#include "checkpoint/model_io.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::string_view kOptionalPrefix = "transformer.";

/// The parameter of this rank whose memory such a tensor fills: its own, or on another pipeline stage one tied to it;
/// null where this rank has neither.
const Param* held_param(const ParamTable& params, const Param& param) {
  if (param.value.defined()) return &param;
  const auto copy = std::find_if(params.begin(), params.end(), [&](const Param& other) {
    return other.spec.tied_to == param.spec.name && other.value.defined();
  });
  return copy == params.end() ? nullptr : &*copy;
}

}  // namespace

Tensor transpose(Tensor matrix) {
  std::swap(matrix.shape[0], matrix.shape[1]);
  std::swap(matrix.strides[0], matrix.strides[1]);
  return matrix;
}

Box box_in_param(const DiskTensor& disk) {
  Box box = whole_box(disk.shape);
  if (disk.transposed) std::swap(box.rows, box.cols);
  box.row = disk.row_begin;
  return box;
}

void read_box(const Tensor& to, const Box& box, const DiskTensor& disk, const StoredTensor& stored) {
  const Box on_disk = box_in_param(disk), shared = intersect(box, on_disk);
  if (num_elements(shared) == 0) return;
  Tensor part = to.slice(0, shared.row - box.row, shared.row - box.row + shared.rows);
  if (part.rank() == 2) part = part.slice(1, shared.col - box.col, shared.col - box.col + shared.cols);
  Box from = {shared.row - on_disk.row, shared.rows, shared.col, shared.cols};
  if (disk.transposed) from = {from.col, from.cols, from.row, from.rows};
  stored.read(disk.transposed ? transpose(part) : part, from);
}

const StoredTensor& checked_shape(const DiskTensor& disk, const StoredTensor& stored) {
  if (!(stored.shape == disk.shape))
    throw IoError(cat(stored.file, ": tensor ", disk.name, ": expected shape ", disk.shape.str(),
                      " from config.json, found ", stored.shape.str()));
  return stored;
}

std::vector<NamedTensor> model_weights(const ModelConfig& config, const ParamTable& params) {
  std::vector<NamedTensor> weights;
  for (const DiskTensor& disk : disk_tensors(config, params)) {
    CHECK(disk.param->local_shape == disk.param->spec.shape, disk.param->spec.name, " is not whole on this rank");
    const Box box = box_in_param(disk);
    const Tensor rows = disk.param->value.slice(0, box.row, box.row + box.rows);
    weights.push_back(named(disk.name, disk.transposed ? transpose(rows) : rows));
  }
  return weights;
}

void read_model_weights(const ModelConfig& config, const ParamTable& params, const FindTensor& find) {
  for (const DiskTensor& disk : disk_tensors(config, params)) {
    const Param* held = held_param(params, *disk.param);
    if (held == nullptr) continue;
    std::optional<StoredTensor> stored = find(disk.name);
    if (!stored && starts_with(disk.name, kOptionalPrefix)) stored = find(disk.name.substr(kOptionalPrefix.size()));
    if (!stored) throw IoError(cat("the weights lack the tensor ", disk.name, ", which config.json asks for"));
    checked_shape(disk, *stored);
    const Param& param = *held;
    int64_t at = 0;  // where the next part begins in the local tensor, along the split dimension
    for (const Box& local : param.local_boxes) {
      const int dim = param.spec.split.dim == 1 ? 1 : 0;
      const int64_t size = dim == 1 ? local.cols : local.rows;
      read_box(param.value.slice(dim, at, at + size), local, disk, *stored);
      at += size;
    }
  }
}

}  // namespace trireme
