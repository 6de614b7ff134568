// From a validated recipe to a finished run: what is missing is made (tokenizer, token files), the run folder is set up
// and guarded, signals are taken, training runs. Of several ranks, rank 0 makes what there is one of.
#pragma once

#include "app/ranks.h"
#include "app/run_config.h"
#include "models/config.h"
#include "tokenizer/tokenizer.h"
#include "train/trainer.h"

namespace trireme {

/// The engine's part of a recipe. model.vocab_size must be set.
EngineConfig engine_config(const RunConfig& config, const ModelConfig& model);

/// Fills in what the tokenizer says of the model. ConfigError where the model has fewer tokens.
void set_vocabulary(ModelConfig& model, const Tokenizer& tokenizer);

/// Trains to the end or until SIGINT or SIGTERM. A second run in the same folder is refused with a ConfigError.
TrainEnd run_training(const RunConfig& config, ModelConfig model, Ranks& ranks);

}  // namespace trireme
