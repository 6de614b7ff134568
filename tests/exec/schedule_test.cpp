#include "exec/schedule.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace trireme {
namespace {

/// Plays all stages against each other with queues between neighbours; false where nobody can go on.
bool completes(int stages, int micro_batches) {
  std::vector<Schedule> schedules;
  for (int s = 0; s < stages; ++s) schedules.push_back(one_forward_one_backward(stages, s, micro_batches));
  std::vector<size_t> at(static_cast<size_t>(stages), 0);
  std::vector<std::deque<int>> forward(static_cast<size_t>(stages)), backward(static_cast<size_t>(stages));
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t s = 0; s < at.size(); ++s) {
      while (at[s] < schedules[s].instructions.size()) {
        const Instruction i = schedules[s].instructions[at[s]];
        std::deque<int>* inbox = i.action == Action::recv_forward    ? &forward[s]
                                 : i.action == Action::recv_backward ? &backward[s]
                                                                     : nullptr;
        if (inbox != nullptr) {
          if (inbox->empty()) break;
          EXPECT_EQ(inbox->front(), i.micro_batch) << "stage " << s << " of " << stages;
          inbox->pop_front();
        }
        if (i.action == Action::send_forward) forward[s + 1].push_back(i.micro_batch);
        if (i.action == Action::send_backward) backward[s - 1].push_back(i.micro_batch);
        ++at[s];
        moved = true;
      }
    }
  }
  for (size_t s = 0; s < at.size(); ++s)
    if (at[s] != schedules[s].instructions.size()) return false;
  return true;
}

TEST(Schedule, NeverDeadlocksAndKeepsTheOrderOfMicroBatches) {
  for (int stages = 1; stages <= 6; ++stages)
    for (int micro_batches = 1; micro_batches <= 9; ++micro_batches)
      EXPECT_TRUE(completes(stages, micro_batches)) << stages << " " << micro_batches;
}

TEST(Schedule, EachMicroBatchGoesForwardThenBackwardOnceInItsOwnSlot) {
  for (int stages = 1; stages <= 4; ++stages)
    for (int stage = 0; stage < stages; ++stage) {
      const Schedule schedule = one_forward_one_backward(stages, stage, 7);
      EXPECT_EQ(schedule.slots, std::min(stages - stage, 7));
      std::vector<int> occupant(static_cast<size_t>(schedule.slots), -1), done(7, 0);
      for (const Instruction& i : schedule.instructions) {
        int& slot = occupant[static_cast<size_t>(i.slot)];
        if (i.action == Action::forward) {
          EXPECT_EQ(slot, -1);
          slot = i.micro_batch;
        }
        if (i.action == Action::backward) {
          EXPECT_EQ(slot, i.micro_batch);
          slot = -1;
          ++done[static_cast<size_t>(i.micro_batch)];
        }
      }
      for (const int d : done) EXPECT_EQ(d, 1);
    }
}

TEST(Schedule, WithoutMicroBatchesThereIsNothingToDo) {
  const Schedule schedule = one_forward_one_backward(3, 1, 0);
  EXPECT_TRUE(schedule.instructions.empty());
  EXPECT_EQ(schedule.slots, 0);
}

TEST(Schedule, OnTheLastStageEachBackwardFollowsItsForward) {
  const Schedule schedule = one_forward_one_backward(3, 2, 4);
  for (size_t i = 0; i < schedule.instructions.size(); ++i)
    if (schedule.instructions[i].action == Action::forward) {
      ASSERT_LT(i + 1, schedule.instructions.size());
      EXPECT_EQ(schedule.instructions[i + 1].action, Action::backward);
    }
}

}  // namespace
}  // namespace trireme
