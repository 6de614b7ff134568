// What a rank of a layout writes to a checkpoint, and reads from one: whole weights that are put together on one of the
// ranks that hold their parts, and boxes of optimizer state. A checkpoint knows no layout; this file is where one ends.
#pragma once

#include <deque>
#include <vector>

#include "checkpoint/model_io.h"
#include "comm/mesh.h"
#include "params/param_store.h"
#include "tensor/buffer.h"

namespace trireme {

/// Part of a rank's local values that is one box of the global parameter.
struct GlobalPart {
  Box box;
  Tensor values;  // box.rows x box.cols with strides; rank 1 where the parameter's is
};

/// The local elements [begin, begin + values.numel()) of `param`, row-major, as boxes of the global parameter. `values`
/// is contiguous, of rank 1.
std::vector<GlobalPart> global_parts(const Param& param, int64_t begin, const Tensor& values);

/// The ranks that hold the same parameters as this one, and what is dealt to them.
struct ReplicaPlace {
  int rank = 0, size = 1;
};

/// The weights that this rank writes, under Hugging Face names. Each parameter falls to one of the ranks that hold it
/// or a part of it, in turns. Views of `store`'s memory where that holds it whole for good, else of `memory`, which
/// must stay until they are written. Collective over the ranks of a pipeline stage.
std::vector<NamedTensor> collect_weights(const ModelConfig& config, const ParamTable& params, ParamStore& store,
                                         const ModelLayout& layout, Group& tp, ReplicaPlace replicas,
                                         std::deque<Buffer>& memory);

/// Fills every parameter of `store` from stored weights, each rank its parts only.
void restore_weights(const ModelConfig& config, const ParamTable& params, ParamStore& store, const FindTensor& find);

}  // namespace trireme
