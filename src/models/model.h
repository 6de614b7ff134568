// Builds the units of a family from its configuration.
#pragma once

#include "layers/groups.h"
#include "models/config.h"
#include "models/unit.h"

namespace trireme {

struct BuildOptions {
  int64_t cheap_begin = 0, cheap_end = 0;  // blocks whose norms and activations are made again in backward
  int64_t activation_end = 0;              // blocks behind those, before this one, whose activations are
  bool float8 = false;                     // products of the blocks' linear layers in 8-bit floats
  int64_t positions = 0;  // largest position that will be asked for, plus one; 0: as many as the model has
  Device device = kCpu;   // of the tables that are no parameters
};

/// The whole model of one tensor-parallel rank: every parameter declared, none allocated. config.vocab_size must be
/// set.
Model build_model(const ModelConfig& config, const LayerGroups& groups, const BuildOptions& options = {});

/// Elements of all parameters of the whole model, tied ones once.
int64_t count_parameters(const ParamTable& params);

}  // namespace trireme
