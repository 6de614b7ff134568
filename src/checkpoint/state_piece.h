// A rank's part of the state: runs of elements of its parameters' values or optimizer state. A run may begin in the
// middle of a row and cover several local parts of a fused parameter; as boxes of the global parameter it is saved and
// read, whatever layout wrote the checkpoint.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/load.h"
#include "models/config.h"
#include "ops/state_codes.h"
#include "params/spec.h"

namespace trireme {

struct StatePiece {
  const Param* param = nullptr;
  std::string kind;   // "exp_avg" and the like; empty: the weight itself
  int64_t begin = 0;  // of the parameter's local elements
  Tensor values;      // (n), contiguous
  // Where the values are codes, a checkpoint holds the f32 that they stand for; such a piece lies within one box.
  StateCode code = StateCode::plain;
  Tensor companion = {};
  int64_t in_run = 0;

  CodedState coded() const { return {code, values, companion, in_run}; }
};

/// Part of a piece as a box of the global parameter.
struct PieceBox {
  Box box;
  Tensor view;        // of the piece's values: rows x cols, or (rows) where the parameter has rank 1
  int64_t first = 0;  // of the piece's elements
};
std::vector<PieceBox> boxes_of(const StatePiece& piece);

/// "<param>.<kind>" of optimizer state; a tied parameter's goes by its owner's name.
std::string state_name(const StatePiece& piece);

/// A box of a piece of optimizer state, to be saved: its values, or what they stand for.
NamedTensor named_state(const StatePiece& piece, const PieceBox& part);

/// Fill the pieces' values from a checkpoint of any layout, converted to their dtype; nothing else is read. IoError
/// where something is missing or of another shape.
void read_weights(const Checkpoint& from, const ModelConfig& config, const ParamTable& params,
                  std::span<const StatePiece> pieces);
/// Codes become the nearest ones, and are those that were saved where the same runs are read.
void read_optimizer(const Checkpoint& from, std::span<const StatePiece> pieces);

}  // namespace trireme
