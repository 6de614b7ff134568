// Our parameters under Hugging Face's names: which rows of which parameter a tensor on disk is, and whether it lies
// transposed (GPT-2's Conv1D).
#pragma once

#include <string>
#include <vector>

#include "models/config.h"
#include "params/spec.h"

namespace trireme {

struct DiskTensor {
  std::string name;              // "model.layers.0.self_attn.q_proj.weight"
  Shape shape;                   // as on disk
  const Param* param = nullptr;  // ours
  int64_t row_begin = 0;         // first row of the global parameter
  bool transposed = false;
};

/// Every tensor of the model's safetensors files, in order of units. A tied head has none.
std::vector<DiskTensor> disk_tensors(const ModelConfig& config, const ParamTable& params);

}  // namespace trireme
