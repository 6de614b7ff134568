// Between a model's parameters and its weights on disk: fused parameters are cut and transposed ones turned by views,
// so nothing is copied on the way. Reading takes only the boxes that this tensor-parallel rank holds.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/tensor_io.h"
#include "models/config.h"
#include "params/spec.h"

namespace trireme {

/// The model's weights under Hugging Face names, as views of the bound values, which must be whole parameters.
std::vector<NamedTensor> model_weights(const ModelConfig& config, const ParamTable& params);

/// Those of one parameter, whose values `whole` holds.
std::vector<NamedTensor> param_weights(const ModelConfig& config, const ParamTable& params, const Param& param,
                                       const Tensor& whole);

/// The stored tensor of a name, or nothing.
using FindTensor = std::function<std::optional<StoredTensor>(const std::string& name)>;

/// Fills the bound values from stored weights, converted to their dtype. Names may lack GPT-2's "transformer." as
/// older files do. IoError where a tensor is missing or has another shape.
void read_model_weights(const ModelConfig& config, const ParamTable& params, const FindTensor& find);
/// One of them; a tied one takes its owner's.
void read_param(const ModelConfig& config, const ParamTable& params, const Param& param, const FindTensor& find);

}  // namespace trireme
