// An engine's state as a checkpoint has it, in whatever layout: which rank gives which elements, and which elements a
// rank takes.
#pragma once

#include "checkpoint/save_state.h"
#include "train/engine.h"

namespace trireme {

/// The weights and optimizer state that this rank gives to a checkpoint: of what several ranks hold equally, each gives
/// its share. Views of the engine's memory; trainer's state, facts and files are left to the caller.
RankState engine_state(Engine& engine);

/// The same of stores of this layout, which may be planned ones: without model, table of parameters and their type.
RankState rank_state(const ModelLayout& layout, const ParamStore& params, const AdamW& optimizer);

/// Takes this rank's weights and optimizer state from a checkpoint of the same model, saved in any layout. Reads only
/// what this rank keeps; all ranks call it. IoError, on all of them, where the checkpoint is damaged or lacks
/// something.
void restore_state(Engine& engine, const Checkpoint& checkpoint);

}  // namespace trireme
