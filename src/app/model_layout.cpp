#include "app/model_layout.h"

#include <filesystem>

#include "app/run_config.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"

namespace trireme {

ParallelConfig model_layout(const std::string& path, const std::vector<std::string>& words, int processes,
                            bool shares_data) {
  RunConfig config;
  for (const std::string& word : words) {
    if (!starts_with(word, "parallel.tensor=") && !starts_with(word, "parallel.pipeline="))
      throw ConfigError(cat("command line: '", word, "': of the keys of a recipe only parallel.tensor and ",
                            "parallel.pipeline can be set here"));
    apply_override(config, word);
  }
  const std::string recipe = path + "/recipe.yaml";
  if (words.empty() && processes > 1 && std::filesystem::exists(recipe))
    config = parse_recipe(read_file(recipe, kLargestRecipe), recipe);
  ParallelConfig layout = {.tensor = config.parallel.tensor, .pipeline = config.parallel.pipeline};
  const int64_t ranks = layout.world_size();
  if (shares_data && processes % ranks == 0) layout.data = processes / ranks;
  if (layout.world_size() != processes)
    throw ConfigError(cat("parallel.tensor x parallel.pipeline = ", layout.tensor, " x ", layout.pipeline, " needs ",
                          ranks, " processes, but there ", processes == 1 ? "is " : "are ", processes,
                          "; start as many with `trireme launch --nproc-per-node ", ranks,
                          " -- ...`, or set parallel.tensor and parallel.pipeline behind the model's folder"));
  return layout;
}

}  // namespace trireme
