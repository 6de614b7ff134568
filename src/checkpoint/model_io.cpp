#include "checkpoint/model_io.h"

#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/strings.h"
#include "models/names.h"

namespace trireme {
namespace {

constexpr std::string_view kOptionalPrefix = "transformer.";

Tensor transpose(Tensor t) {
  std::swap(t.shape[0], t.shape[1]);
  std::swap(t.strides[0], t.strides[1]);
  return t;
}

/// Our rows and columns of a parameter that a tensor on disk holds.
Box box_in_param(const DiskTensor& disk) {
  Box box = whole_box(disk.shape);
  if (disk.transposed) std::swap(box.rows, box.cols);
  box.row = disk.row_begin;
  return box;
}

/// Reads what `param`, which is the tensor's or tied to it, holds of one tensor on disk.
void read_tensor(const DiskTensor& disk, const StoredTensor& stored, const Param& param) {
  const Box on_disk = box_in_param(disk);
  const bool columns_cut = param.spec.split.dim == 1;
  int64_t row = 0, col = 0;  // of the next box in the local tensor
  for (const Box& local : param.local_boxes) {
    const Box shared = intersect(local, on_disk);
    if (num_elements(shared) > 0) {
      const int64_t to_row = row + shared.row - local.row, to_col = col + shared.col - local.col;
      Tensor to = param.value.slice(0, to_row, to_row + shared.rows);
      if (to.rank() == 2) to = to.slice(1, to_col, to_col + shared.cols);
      Box from = {shared.row - on_disk.row, shared.rows, shared.col, shared.cols};
      if (disk.transposed) from = {from.col, from.cols, from.row, from.rows};
      stored.read(disk.transposed ? transpose(to) : to, from);
    }
    (columns_cut ? col : row) += columns_cut ? local.cols : local.rows;
  }
}

/// The stored tensor of `disk`, of the right shape.
StoredTensor find_stored(const DiskTensor& disk, const FindTensor& find) {
  std::optional<StoredTensor> stored = find(disk.name);
  if (!stored && starts_with(disk.name, kOptionalPrefix)) stored = find(disk.name.substr(kOptionalPrefix.size()));
  if (!stored) throw IoError(cat("the weights lack the tensor ", disk.name, ", which config.json asks for"));
  if (!(stored->shape == disk.shape))
    throw IoError(cat(stored->file, ": tensor ", disk.name, ": expected shape ", disk.shape.str(),
                      " from config.json, found ", stored->shape.str()));
  return *std::move(stored);
}

NamedTensor named_rows(const DiskTensor& disk, const Tensor& whole) {
  const Box box = box_in_param(disk);
  const Tensor rows = whole.slice(0, box.row, box.row + box.rows);
  return named(disk.name, disk.transposed ? transpose(rows) : rows);
}

}  // namespace

std::vector<NamedTensor> model_weights(const ModelConfig& config, const ParamTable& params) {
  std::vector<NamedTensor> weights;
  for (const DiskTensor& disk : disk_tensors(config, params)) {
    CHECK(disk.param->local_shape == disk.param->spec.shape, disk.param->spec.name, " is not whole on this rank");
    weights.push_back(named_rows(disk, disk.param->value));
  }
  return weights;
}

std::vector<NamedTensor> param_weights(const ModelConfig& config, const ParamTable& params, const Param& param,
                                       const Tensor& whole) {
  std::vector<NamedTensor> weights;
  for (const DiskTensor& disk : disk_tensors(config, params))
    if (disk.param == &param) weights.push_back(named_rows(disk, whole));
  return weights;
}

void read_model_weights(const ModelConfig& config, const ParamTable& params, const FindTensor& find) {
  for (const DiskTensor& disk : disk_tensors(config, params)) read_tensor(disk, find_stored(disk, find), *disk.param);
}

void read_param(const ModelConfig& config, const ParamTable& params, const Param& param, const FindTensor& find) {
  const Param& owner = tie_owner(params, param);
  for (const DiskTensor& disk : disk_tensors(config, params))
    if (disk.param == &owner) read_tensor(disk, find_stored(disk, find), param);
}

}  // namespace trireme
