// Whether a run fits into a GPU, asked before anything of its size is allocated, and what to change where it does not.
#pragma once

#include <string>

#include "train/engine.h"

namespace trireme {

/// ConfigError with what is needed, what is free, and the cheapest change that fits, where `plan` of `config` does not
/// fit into the memory that config.device has free.
void require_gpu_memory(const EngineConfig& config, const Groups& groups, ThreadPool& pool, const MemoryPlan& plan);

/// Bytes of the GPU that a plan may fill: those that are free, without what libraries take for themselves.
int64_t usable_gpu_memory(Device device);

/// The least recompute with which the plan of `config`, whose recompute is automatic, takes at most `limit` bytes: none
/// at all, then cheap for one block after another, then whole blocks. Where nothing fits, all blocks. Equal on all
/// ranks: what a block computes again it also sends again.
RecomputeSplit least_recompute(EngineConfig config, const Groups& groups, ThreadPool& pool, int64_t limit);

/// The recipe words that cost least among those that bring the plan to at most `limit` bytes and leave the global batch
/// as it is: a remainder for the master, which changes no number; recompute cheap, smaller micro-batches, recompute
/// block, both; the same with smaller moments; in bfloat16, where it was float32; without a master; with gradients in
/// bfloat16. For an evaluation, `trireme eval`'s word for fewer windows at once. Empty where none does.
std::string cheapest_change(const EngineConfig& config, const Groups& groups, ThreadPool& pool, int64_t limit);

}  // namespace trireme
