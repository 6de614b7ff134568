// In which layout several processes run a finished model.
#pragma once

#include <string>
#include <vector>

#include "exec/config.h"

namespace trireme {

/// The layout in which `processes` run the model at `path`: parallel.tensor and parallel.pipeline as `words` set them
/// ("parallel.tensor=2"), without words as in the recipe.yaml of the run at `path`. What these axes leave of the
/// processes becomes the data axis where `shares_data`. ConfigError where other keys are set, or the processes are more
/// or fewer than the layout's ranks.
ParallelConfig model_layout(const std::string& path, const std::vector<std::string>& words, int processes,
                            bool shares_data);

}  // namespace trireme
