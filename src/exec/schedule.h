// The order of a step as data: a pure function from (stages, stage, micro-batches) to instructions. One stage is the
// case of gradient accumulation, so there is one training loop.
#pragma once

#include <cstdint>
#include <vector>

namespace trireme {

enum class Action : uint8_t { recv_forward, forward, send_forward, recv_backward, backward, send_backward };

struct Instruction {
  Action action;
  int micro_batch;
  int slot;  // which place for saved state
};

struct Schedule {
  std::vector<Instruction> instructions;
  int slots = 1;  // micro-batches in flight at most
};

/// One forward, one backward (Narayanan et al., PipeDream-Flush, 2021): stage s warms up with stages-1-s forwards, then
/// alternates. On the last stage each backward follows its forward at once.
Schedule one_forward_one_backward(int stages, int stage, int micro_batches);

}  // namespace trireme
