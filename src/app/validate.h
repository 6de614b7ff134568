// Rules that tie keys of different sections together, each with its reason. Rules of one key are in its table row.
#pragma once

#include <string>

#include "app/run_config.h"
#include "models/config.h"

namespace trireme {

/// The model that config.model describes. ConfigError, beginning with `where`, for what no model can be.
ModelConfig read_model(const RunConfig& config, const std::string& where);

/// ConfigError that lists every broken rule, one a line, beginning with `where` (the recipe's path).
/// `config` as load_recipe gives it, `model` from read_model, `world_size` the number of processes.
void validate(const RunConfig& config, const ModelConfig& model, const std::string& where, int64_t world_size = 1);

}  // namespace trireme
