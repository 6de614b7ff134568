// Ranks as processes, meant for a CPU: shared memory between those of one host, TCP between hosts. A rank that dies or
// fails ends every wait of every other with an error that names it. Threads of a process may work in different groups
// at the same time; in one group only one may.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "comm/group.h"
#include "comm/inbox.h"
#include "comm/links.h"
#include "comm/shared_memory.h"

namespace trireme {

/// Whether a group's waits end after WorldOptions::wait_seconds. Those for work with files do not: how long a disk
/// takes says nothing about a rank.
enum class Waits : uint8_t { limited, endless };

class ProcessWorld {
 public:
  /// Meets the other ranks. IoError that says who is missing or cannot be reached.
  explicit ProcessWorld(WorldOptions options);
  ~ProcessWorld();
  ProcessWorld(const ProcessWorld&) = delete;
  ProcessWorld& operator=(const ProcessWorld&) = delete;

  int rank() const { return options_.place.rank; }
  int size() const { return options_.place.world_size; }

  /// This rank's handle on the group of these world ranks. All ranks make their groups in the same order, at most
  /// kLanes each beside those of one. The world must outlive it.
  std::unique_ptr<Group> group(const std::vector<int>& ranks, Waits waits = Waits::limited);

  /// Tells the others that this rank has failed, and why: their waits end with a PeerError. Nothing after a failure.
  void fail(const std::string& why) noexcept;

  // For the groups:

  /// Returns when `ready()`; takes in messages meanwhile. PeerError where a rank has failed, IoError where limited and
  /// options.wait_seconds have passed; `what()` says what was waited for.
  void wait(FunctionRef<bool()> ready, FunctionRef<std::string()> what, Waits waits);
  /// Messages between world ranks, in order on each channel. post returns when `bytes` may be reused.
  void post(int to, uint64_t channel, std::span<const std::byte> bytes, Waits waits);
  void take(int from, uint64_t channel, std::span<std::byte> bytes, Waits waits);
  const SharedMemory& memory_of(int rank) const { return memories_[static_cast<size_t>(rank)]; }
  bool shares_memory(int rank) const { return static_cast<bool>(memories_[static_cast<size_t>(rank)]); }
  const std::string& name(int rank) const { return names_[static_cast<size_t>(rank)]; }

 private:
  struct Arriving {  // the message that is being read from a ring
    MessageHead head;
    size_t received = 0;  // of head and bytes together
    Inbox::Message bytes;
  };

  std::vector<Fd> connect_others(const Roster& roster, const Card& mine, Deadline deadline) const;
  void check() const;
  void read_rings();
  void read_ring(int from);
  void set_failure(const std::string& why);

  WorldOptions options_;
  double spin_seconds_;
  std::vector<SharedMemory> memories_;  // by rank; empty for ranks of other hosts
  std::vector<std::string> names_;
  std::vector<int> neighbours_;  // other ranks of this host
  std::mutex reading_;           // of rings and arriving_
  std::vector<Arriving> arriving_;
  std::deque<std::mutex> posting_;  // by rank: a message is not cut by another thread's
  Inbox inbox_;
  uint64_t next_lane_ = 0;
  std::atomic<bool> failed_{false};
  mutable std::mutex failure_mutex_;
  std::string failure_;
  std::unique_ptr<Links> links_;
};

}  // namespace trireme
