// Ranks as threads of one process: every layout can be tested, and small CPU runs made, without a network. Members
// read each other's memory between two barriers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "comm/mesh.h"

namespace trireme {

class LocalHub;  // what the members of one group share

/// Owns the shared state of all groups; must outlive the ranks.
class LocalWorld {
 public:
  explicit LocalWorld(int size);
  ~LocalWorld();

  int size() const { return size_; }
  /// The calling rank's handle on the group of these world ranks.
  std::unique_ptr<Group> group(const std::vector<int>& ranks, int rank, Channel channel = Channel::step);
  /// Ends every wait of every group with an error.
  void abort() noexcept;

 private:
  int size_;
  std::mutex mutex_;
  std::map<std::pair<std::vector<int>, Channel>, std::unique_ptr<LocalHub>> hubs_;
};

/// Runs `body(rank, groups)` on one thread a rank of `mesh` and waits. The first exception aborts the others and is
/// rethrown.
void run_local_ranks(const Mesh& mesh, const std::function<void(int rank, const Groups&)>& body);

}  // namespace trireme
