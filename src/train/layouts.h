// Layouts as things to be listed: every one that so many ranks can have, the mesh of one, and its name in the words of
// a recipe.
#pragma once

#include <string>
#include <vector>

#include "comm/mesh.h"
#include "exec/config.h"

namespace trireme {

/// The mesh of a layout whose sizes are all set.
Mesh mesh_of(const ParallelConfig& parallel);

/// Every mesh over 1, 2, 4, ... up to `max_ranks` ranks with every option that has an effect on it (virtual_pipeline 1
/// and 2), refused ones (layout_rules.h) among them. Fewer ranks come first.
std::vector<ParallelConfig> all_layouts(int64_t max_ranks);

/// "tensor=2 pipeline=2 zero_stage=1": the keys of `parallel` that are not as in one process; "one rank" without any.
std::string layout_name(const ParallelConfig& parallel);

}  // namespace trireme
