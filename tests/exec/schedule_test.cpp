#include "exec/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace trireme {
namespace {

std::vector<Schedule> all_ranks(const PipelineShape& shape, int micro_batches) {
  std::vector<Schedule> schedules;
  for (int r = 0; r < shape.ranks; ++r) schedules.push_back(one_forward_one_backward(shape, r, micro_batches));
  return schedules;
}

/// Plays all ranks against each other in steps of one forward or backward, with a queue for each direction of each
/// pair of neighbours. Returns the number of steps, or -1 where nobody can go on.
int play(const PipelineShape& shape, int micro_batches) {
  using Message = std::pair<int, int>;  // stage that it is for, micro-batch
  const std::vector<Schedule> schedules = all_ranks(shape, micro_batches);
  std::vector<size_t> at(schedules.size(), 0);
  std::map<std::pair<size_t, bool>, std::deque<Message>> inbox;  // by rank and direction
  const auto finished = [&] {
    for (size_t r = 0; r < at.size(); ++r)
      if (at[r] < schedules[r].instructions.size()) return false;
    return true;
  };
  int steps = 0;
  for (; !finished(); ++steps) {
    bool moved = false;
    std::vector<std::pair<std::pair<size_t, bool>, Message>> sent;  // arrive after this step
    for (size_t r = 0; r < at.size(); ++r) {
      for (bool worked = false; at[r] < schedules[r].instructions.size(); ++at[r]) {
        const Instruction& i = schedules[r].instructions[at[r]];
        const int stage = shape.stage(static_cast<int>(r), i.chunk), ranks = shape.ranks;
        const bool forward = i.action == Action::recv_forward || i.action == Action::forward;
        if (i.action == Action::send_forward || i.action == Action::send_backward) {
          const int to = i.action == Action::send_forward ? stage + 1 : stage - 1;
          sent.push_back({{static_cast<size_t>(to % ranks), to > stage}, {to, i.micro_batch}});
          continue;
        }
        if (worked) break;  // the next receive belongs to the next step
        if (i.action == Action::recv_forward || i.action == Action::recv_backward) {
          std::deque<Message>& queue = inbox[{r, forward}];
          if (queue.empty()) break;
          EXPECT_EQ(queue.front(), Message(stage, i.micro_batch)) << "rank " << r << " of " << ranks;
          queue.pop_front();
          continue;
        }
        worked = moved = true;
      }
    }
    for (auto& [to, message] : sent) inbox[to].push_back(message);
    if (!moved && sent.empty()) return -1;
  }
  return steps;
}

constexpr int kMicroBatches = 7;

const PipelineShape kShapes[] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {2, 2}, {2, 3}, {3, 2}, {4, 2}, {4, 4}, {8, 2}};

TEST(Schedule, NeverDeadlocksAndMessagesArriveInTheOrderTheyAreTaken) {
  for (int ranks = 1; ranks <= 8; ++ranks)
    for (int chunks = 1; chunks <= (ranks == 1 ? 1 : 4); ++chunks)
      for (int micro_batches = 1; micro_batches <= 18; ++micro_batches)
        EXPECT_GT(play({ranks, chunks}, micro_batches), 0) << ranks << " " << chunks << " " << micro_batches;
}

TEST(Schedule, EachMicroBatchPassesEachStageOnceInASlotOfItsOwn) {
  for (const PipelineShape& shape : kShapes)
    for (const Schedule& schedule : all_ranks(shape, kMicroBatches)) {
      using Work = std::pair<int, int>;
      std::vector<Work> occupant(static_cast<size_t>(schedule.slots), Work(-1, -1));
      std::map<Work, int> done;
      for (const Instruction& i : schedule.instructions) {
        Work& slot = occupant[static_cast<size_t>(i.slot)];
        if (i.action == Action::forward) {
          EXPECT_EQ(slot, Work(-1, -1));
          slot = {i.chunk, i.micro_batch};
        }
        if (i.action == Action::backward) {
          EXPECT_EQ(slot, Work(i.chunk, i.micro_batch));
          slot = {-1, -1};
          ++done[{i.chunk, i.micro_batch}];
        }
      }
      EXPECT_EQ(static_cast<int>(done.size()), shape.chunks * kMicroBatches);
      for (const auto& [work, times] : done) EXPECT_EQ(times, 1);
    }
}

TEST(Schedule, KeepsNoMoreMicroBatchesThanThereAreStagesBehind) {
  for (int ranks = 1; ranks <= 4; ++ranks)
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_EQ(one_forward_one_backward({ranks, 1}, rank, kMicroBatches).slots, std::min(ranks - rank, kMicroBatches));
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_LE(one_forward_one_backward({4, 2}, rank, 64).slots, 4 + 2 * (3 - rank) + 1);
}

TEST(Schedule, WithoutMicroBatchesThereIsNothingToDo) {
  const Schedule schedule = one_forward_one_backward({3, 1}, 1, 0);
  EXPECT_TRUE(schedule.instructions.empty());
  EXPECT_EQ(schedule.slots, 0);
}

TEST(Schedule, TheLastStagesBackwardsFollowTheirForwards) {
  for (const PipelineShape& shape : kShapes) {
    const Schedule schedule = one_forward_one_backward(shape, shape.ranks - 1, kMicroBatches);
    for (size_t i = 0; i < schedule.instructions.size(); ++i) {
      const Instruction& forward = schedule.instructions[i];
      if (forward.action != Action::forward || forward.chunk != shape.chunks - 1) continue;
      ASSERT_LT(i + 1, schedule.instructions.size());
      const Instruction& backward = schedule.instructions[i + 1];
      EXPECT_EQ(backward.action, Action::backward);
      EXPECT_EQ(backward.chunk, forward.chunk);
      EXPECT_EQ(backward.micro_batch, forward.micro_batch);
    }
  }
}

TEST(Schedule, BackwardsOfAStageKeepTheOrderOfMicroBatches) {
  for (const PipelineShape& shape : kShapes)
    for (const Schedule& schedule : all_ranks(shape, kMicroBatches)) {
      std::vector<int> next(static_cast<size_t>(shape.chunks), 0);
      for (const Instruction& i : schedule.instructions) {
        if (i.action != Action::backward) continue;
        EXPECT_EQ(i.micro_batch, next[static_cast<size_t>(i.chunk)]++);
      }
    }
}

TEST(Schedule, APipelineWaitsForItsOtherRanksOnlyAtTheEnds) {
  for (int ranks = 2; ranks <= 8; ++ranks) EXPECT_EQ(play({ranks, 1}, 16), 2 * 16 + 2 * (ranks - 1));
}

TEST(Schedule, ChunksShortenTheWait) {
  // A step is one stage, 1 / chunks of a rank's part of the model: the wait is 2 (ranks - 1) of them, however many
  // micro-batches there are (Narayanan et al., 2021b, 2.2.2).
  for (const int ranks : {2, 4, 8})
    for (const int chunks : {2, 4})
      for (const int micro_batches : {ranks, 8, 64})
        EXPECT_EQ(play({ranks, chunks}, micro_batches), 2 * micro_batches * chunks + 2 * (ranks - 1))
            << ranks << " " << chunks << " " << micro_batches;
}

}  // namespace
}  // namespace trireme
