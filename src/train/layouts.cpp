#include "train/layouts.h"

namespace trireme {

Mesh mesh_of(const ParallelConfig& p) {
  return {.pp = static_cast<int>(p.pipeline),
          .dp = static_cast<int>(p.data),
          .cp = static_cast<int>(p.context),
          .tp = static_cast<int>(p.tensor)};
}

std::vector<ParallelConfig> all_layouts(int64_t max_ranks) {
  std::vector<ParallelConfig> meshes, layouts;
  for (int64_t ranks = 1; ranks <= max_ranks; ranks *= 2)
    for (int64_t pp = 1; pp <= ranks; pp *= 2)
      for (int64_t dp = 1; pp * dp <= ranks; dp *= 2)
        for (int64_t cp = 1; pp * dp * cp <= ranks; cp *= 2)
          meshes.push_back({.data = dp, .tensor = ranks / (pp * dp * cp), .pipeline = pp, .context = cp});
  for (ParallelConfig p : meshes) {
    const int64_t chunks = p.pipeline > 1 ? 2 : 1, stages = p.data * p.context > 1 ? 3 : 0;
    for (p.virtual_pipeline = 1; p.virtual_pipeline <= chunks; ++p.virtual_pipeline)
      for (p.zero_stage = 0; p.zero_stage <= stages; ++p.zero_stage)
        for (const bool sequence : {false, true}) {
          p.sequence_parallel = sequence;
          if (!sequence || p.tensor > 1) layouts.push_back(p);
        }
  }
  return layouts;
}

std::string layout_name(const ParallelConfig& p) {
  std::string name;
  const auto add = [&](const char* key, int64_t value, int64_t usual) {
    if (value != usual) name += cat(name.empty() ? "" : " ", key, "=", value);
  };
  add("data", p.data, 1);
  add("tensor", p.tensor, 1);
  add("pipeline", p.pipeline, 1);
  add("context", p.context, 1);
  add("virtual_pipeline", p.virtual_pipeline, 1);
  add("zero_stage", p.zero_stage, 0);
  if (p.sequence_parallel) name += " sequence_parallel=true";
  return name.empty() ? "one rank" : name;
}

}  // namespace trireme
