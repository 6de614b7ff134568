// The order of a step as data: a pure function from (ranks, rank, micro-batches, chunks) to instructions. One rank is
// the case of gradient accumulation, so there is one training loop.
#pragma once

#include <cstdint>
#include <vector>

namespace trireme {

enum class Action : uint8_t { recv_forward, forward, send_forward, recv_backward, backward, send_backward };

struct Instruction {
  Action action;
  int micro_batch;
  int slot;   // which place for saved state
  int chunk;  // which of this rank's stages
};

struct Schedule {
  std::vector<Instruction> instructions;
  int slots = 1;  // stages in flight at most, each with one micro-batch
};

/// A pipeline of `ranks`, each with `chunks` stages: chunk c of rank r is stage c * ranks + r of the model.
struct PipelineShape {
  int ranks = 1, chunks = 1;
  int stages() const { return ranks * chunks; }
  int stage(int rank, int chunk) const { return chunk * ranks + rank; }
};

/// One forward, one backward: PipeDream-Flush (Narayanan et al., 2021a) where each rank has one stage, the interleaved
/// form of Megatron-LM (Narayanan et al., 2021b) where it has more; any number of micro-batches. The order is what
/// ranks do that work in step: a forward where one is ready and not too many wait for their backward, else a backward.
/// So nobody ever waits for somebody who waits. Messages between two ranks keep their order, each direction by itself.
/// The last stage's backward follows its forward at once; each stage's backwards keep the order of micro-batches.
Schedule one_forward_one_backward(const PipelineShape& shape, int rank, int micro_batches);

}  // namespace trireme
