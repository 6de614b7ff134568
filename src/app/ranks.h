// This process among the ranks of its job: the connection to the others, its groups, and how it tells of its failure.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/mesh.h"
#include "comm/process_world.h"
#include "exec/config.h"
#include "launch/environment.h"
#include "train/layouts.h"

namespace trireme {

class Ranks {
 public:
  /// Meets the other ranks, if the environment says that there are any.
  explicit Ranks(std::optional<Launched> launched);

  int rank() const { return launched_ ? launched_->world.place.rank : 0; }
  int size() const { return launched_ ? launched_->world.place.world_size : 1; }
  /// Ranks of this host, and this one's threads where the recipe names none.
  int threads() const { return threads_; }

  /// Makes the groups of a layout; its ranks are size(). Once.
  const Groups& make_groups(const ParallelConfig& parallel);
  /// Waits for all; for before make_groups().
  void meet();

  /// Rank 0's `work()`, on every rank. Where it throws, the others end: what is wrong is told once.
  template <class Work>
  std::string from_first(Work work) {
    return everyone_ ? broadcast_text(*everyone_, rank() == 0 ? work() : "", 0) : work();
  }

  /// Runs `work`, which returns an exit code; what it throws is told to the other ranks and the launcher first. Returns
  /// kFailed where another rank failed than this one and rank 0.
  int run(const std::function<int()>& work);

 private:
  void fail(const std::string& why) noexcept;

  std::optional<Launched> launched_;
  int threads_;
  std::unique_ptr<ProcessWorld> world_;
  SingleGroup single_;
  std::unique_ptr<Group> everyone_;
  std::vector<std::unique_ptr<Group>> owned_;
  Groups groups_;
};

/// Groups in which nobody is: rank 0 of a layout, to plan its step.
class PlannedRanks {
 public:
  explicit PlannedRanks(const ParallelConfig& parallel);
  const Groups& groups() const { return groups_; }

 private:
  std::vector<std::unique_ptr<Group>> owned_;
  Groups groups_;
};

}  // namespace trireme
