#include "checkpoint/ranks.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace trireme {
namespace {

/// The local boxes of a parameter on some tensor rank, and their shape there.
struct LocalPlaces {
  const std::vector<Box>& boxes;
  const Shape& shape;
  bool columns_cut;
};

/// Where `part`, a box of local rows and columns, lies in the global parameter: calls fn(global box, first local row,
/// first local column) for each local box that it touches.
template <class Fn>
void for_each_global(const LocalPlaces& places, const Box& part, Fn fn) {
  int64_t row = 0, col = 0;  // of the next box in the local values
  for (const Box& box : places.boxes) {
    const Box shared = intersect(part, {row, box.rows, col, box.cols});
    if (num_elements(shared) > 0)
      fn(Box{box.row + shared.row - row, shared.rows, box.col + shared.col - col, shared.cols}, shared.row, shared.col);
    (places.columns_cut ? col : row) += places.columns_cut ? box.cols : box.rows;
  }
}

/// A run of row-major elements as at most three boxes: the end of a row, whole rows, the beginning of a row.
std::vector<Box> boxes_of_run(int64_t begin, int64_t end, int64_t cols) {
  std::vector<Box> boxes;
  while (begin < end) {
    const int64_t row = begin / cols, col = begin % cols;
    const bool whole_rows = col == 0 && end - begin >= cols;
    const int64_t rows = whole_rows ? (end - begin) / cols : 1;
    const int64_t width = whole_rows ? cols : std::min(cols - col, end - begin);
    boxes.push_back({row, rows, col, width});
    begin += rows * width;
  }
  return boxes;
}

/// Puts a tensor rank's contiguous local values where they belong in the whole parameter.
void place(const Tensor& whole, const Tensor& local, const LocalPlaces& places) {
  const int64_t element = dtype_size(whole.dtype), cols = whole_box(whole.shape).cols,
                local_cols = whole_box(places.shape).cols;
  auto* to = static_cast<std::byte*>(whole.data);
  const auto* from = static_cast<const std::byte*>(local.data);
  for_each_global(places, whole_box(places.shape), [&](const Box& box, int64_t row, int64_t col) {
    for (int64_t r = 0; r < box.rows; ++r)
      std::memcpy(to + ((box.row + r) * cols + box.col) * element, from + ((row + r) * local_cols + col) * element,
                  static_cast<size_t>(box.cols * element));
  });
}

/// The whole of a parameter that the ranks of `tp` hold in parts, on its rank `writer`; elsewhere undefined.
Tensor put_together(const Param& param, Group& tp, int writer, std::deque<Buffer>& memory) {
  const ParamSpec& spec = param.spec;
  const Tensor& mine = param.value;
  if (tp.rank() != writer) {
    if (mine.numel() > 0) tp.send(mine, writer);
    return {};
  }
  const int64_t element = dtype_size(mine.dtype);
  const Tensor whole = memory.emplace_back(spec.name, kCpu, spec.shape.numel() * element).view(mine.dtype, spec.shape);
  for (int r = 0; r < tp.size(); ++r) {
    const std::vector<Box> boxes = local_boxes(spec.shape, spec.split, r, tp.size());
    const Shape shape = local_shape(spec.shape, spec.split, r, tp.size());
    if (shape.numel() == 0) continue;
    const LocalPlaces places{boxes, shape, spec.split.dim == 1};
    if (r == writer) {
      place(whole, mine, places);
    } else {
      const Buffer part("part", kCpu, shape.numel() * element);
      tp.recv(part.view(mine.dtype, shape), r);
      place(whole, part.view(mine.dtype, shape), places);
    }
  }
  return whole;
}

}  // namespace

std::vector<GlobalPart> global_parts(const Param& param, int64_t begin, const Tensor& values) {
  CHECK(values.rank() == 1 && values.contiguous(), values.str());
  const int64_t cols = whole_box(param.local_shape).cols, element = dtype_size(values.dtype);
  const LocalPlaces places{param.local_boxes, param.local_shape, param.spec.split.dim == 1};
  std::vector<GlobalPart> parts;
  for (const Box& run : boxes_of_run(begin, begin + values.numel(), cols))
    for_each_global(places, run, [&](const Box& box, int64_t row, int64_t col) {
      auto* data = static_cast<std::byte*>(values.data) + (row * cols + col - begin) * element;
      const bool vector = param.spec.shape.rank == 1;
      Tensor view(data, values.dtype, values.device, vector ? Shape{box.rows} : Shape{box.rows, box.cols});
      if (!vector) view.strides[0] = cols;
      parts.push_back({box, view});
    });
  return parts;
}

std::vector<NamedTensor> collect_weights(const ModelConfig& config, const ParamTable& params, ParamStore& store,
                                         const ModelLayout& layout, Group& tp, ReplicaPlace replicas,
                                         std::deque<Buffer>& memory) {
  std::vector<NamedTensor> weights;
  int64_t turn = 0;
  for (size_t u = 0; u < layout.units.size(); ++u) {
    store.acquire(static_cast<int>(u));
    for (const ParamPlace& held : layout.units[u].places) {
      const Param& param = *held.param;
      if (!param.spec.tied_to.empty()) continue;  // its owner, on another stage, is written
      const int writer = static_cast<int>(turn % tp.size()),
                replica = static_cast<int>(turn / tp.size()) % replicas.size;
      ++turn;
      if (replica != replicas.rank) continue;
      Tensor whole = param.value;
      if (param.spec.split.dim >= 0 && tp.size() > 1) {
        whole = put_together(param, tp, writer, memory);
      } else if (tp.rank() == writer && store.sharded()) {  // gathered only until release
        whole = memory.emplace_back(param.spec.name, kCpu, whole.bytes()).view(whole.dtype, whole.shape);
        std::memcpy(whole.data, param.value.data, static_cast<size_t>(whole.bytes()));
      }
      if (tp.rank() != writer) continue;
      for (NamedTensor& weight : param_weights(config, params, param, whole)) weights.push_back(std::move(weight));
    }
    store.release(static_cast<int>(u));
  }
  return weights;
}

void restore_weights(const ModelConfig& config, const ParamTable& params, ParamStore& store, const FindTensor& find) {
  store.assign([&](Param& param) { read_param(config, params, param, find); });
}

}  // namespace trireme
