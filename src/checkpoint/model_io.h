// Between a model's parameters and its weights on disk: fused parameters are cut and transposed ones turned by views,
// so nothing is copied on the way. Reading takes only the boxes that this tensor-parallel rank holds.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/tensor_io.h"
#include "models/config.h"
#include "models/names.h"
#include "params/spec.h"

namespace trireme {

/// The model's weights under Hugging Face names, as views of the bound values, which must be whole parameters.
std::vector<NamedTensor> model_weights(const ModelConfig& config, const ParamTable& params);

Tensor transpose(Tensor matrix);

/// Our rows and columns of a parameter that a tensor on disk holds.
Box box_in_param(const DiskTensor& disk);
/// Reads into `to`, which holds the box `box` of the global parameter, what of it the tensor on disk has.
void read_box(const Tensor& to, const Box& box, const DiskTensor& disk, const StoredTensor& stored);
/// The tensor itself; IoError where it has not the shape that the model asks for.
const StoredTensor& checked_shape(const DiskTensor& disk, const StoredTensor& stored);

/// The stored tensor of a name, or nothing.
using FindTensor = std::function<std::optional<StoredTensor>(const std::string& name)>;

/// Fills the bound values from stored weights, converted to their dtype; those that another pipeline stage holds are
/// not asked for. Names may lack GPT-2's "transformer." as older files do. IoError where a tensor is missing or has
/// another shape.
void read_model_weights(const ModelConfig& config, const ParamTable& params, const FindTensor& find);

}  // namespace trireme
