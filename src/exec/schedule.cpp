#include "exec/schedule.h"

#include <algorithm>

#include "base/error.h"

namespace trireme {

Schedule one_forward_one_backward(int stages, int stage, int micro_batches) {
  CHECK(0 <= stage && stage < stages && micro_batches >= 0, "stage ", stage, " of ", stages, ", ", micro_batches,
        " micro-batches");
  Schedule schedule;
  schedule.slots = std::min(stages - stage, micro_batches);
  const auto add = [&](Action action, int mb) { schedule.instructions.push_back({action, mb, mb % schedule.slots}); };
  const auto forward = [&](int mb) {
    if (stage > 0) add(Action::recv_forward, mb);
    add(Action::forward, mb);
    if (stage < stages - 1) add(Action::send_forward, mb);
  };
  const auto backward = [&](int mb) {
    if (stage < stages - 1) add(Action::recv_backward, mb);
    add(Action::backward, mb);
    if (stage > 0) add(Action::send_backward, mb);
  };
  const int warmup = std::min(stages - 1 - stage, micro_batches);
  for (int mb = 0; mb < warmup; ++mb) forward(mb);
  for (int mb = warmup; mb < micro_batches; ++mb) {
    forward(mb);
    backward(mb - warmup);
  }
  for (int mb = micro_batches - warmup; mb < micro_batches; ++mb) backward(mb);
  return schedule;
}

}  // namespace trireme
