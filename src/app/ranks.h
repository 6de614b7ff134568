// This process among the ranks of its job: the connection to the others, its groups, and how it tells of its failure.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "comm/mesh.h"
#include "comm/process_world.h"
#include "exec/config.h"
#include "launch/environment.h"

namespace trireme {

/// The mesh of a layout whose sizes are all set.
Mesh mesh_of(const ParallelConfig& parallel);

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

  /// Runs `work`; what it throws is told to the other ranks and the launcher first. A PeerError is another rank's.
  template <class Work>
  auto guarded(Work work) {
    try {
      return work();
    } catch (const PeerError&) {
      throw;
    } catch (const std::exception& e) {
      fail(e.what());
      throw;
    }
  }

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
