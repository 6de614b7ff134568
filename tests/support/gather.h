// Brings what the ranks of a layout hold together as whole global tensors, for comparison.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "train/engine.h"

namespace trireme::testing {

using GlobalTensors = std::map<std::string, std::vector<float>>;

/// Row-major index in the global parameter of element `local` of this rank's part.
inline int64_t global_index(const Param& param, int64_t local) {
  const int64_t global_cols = param.spec.shape.rank > 1 ? param.spec.shape[1] : 1;
  const int64_t local_cols = param.local_shape.rank > 1 ? param.local_shape[1] : 1;
  int64_t row = local / local_cols, col = local % local_cols;
  for (const Box& box : param.local_boxes) {
    if (param.spec.split.dim == 1) {
      if (col < box.cols) return row * global_cols + box.col + col;
      col -= box.cols;
    } else {
      if (row < box.rows) return (box.row + row) * global_cols + col;
      row -= box.rows;
    }
  }
  CHECK(false, "element ", local, " of ", param.spec.name);
}

/// Adds this rank's optimizer ranges of gradients (or of parameters) to `out`.
inline void gather(GlobalTensors& out, std::mutex& mutex, Engine& engine, bool gradients) {
  const std::lock_guard lock(mutex);
  const ModelLayout& layout = engine.layout();
  for (size_t u = 0; u < layout.units.size(); ++u) {
    const int unit = static_cast<int>(u);
    const FlatRange range = layout.optimizer_range(unit);
    const Tensor there = gradients ? engine.grad_store().optimizer_view(unit, 0, range.size())
                                   : engine.param_store().optimizer_view(unit);
    const Buffer here("values on the host", kCpu, there.bytes());
    copy_memory(kCpu, here.data(), there.device, there.data, there.bytes());
    const float* values = here.view(there.dtype, there.shape).f32();
    for_each_piece(layout.units[u], range, [&](Param& param, int64_t begin, int64_t flat, int64_t n) {
      std::vector<float>& whole = out[param.spec.name];
      whole.resize(static_cast<size_t>(param.spec.shape.numel()));
      for (int64_t i = 0; i < n; ++i)
        whole[static_cast<size_t>(global_index(param, begin + i))] = values[flat - range.begin + i];
    });
  }
}

}  // namespace trireme::testing
