// Groups of a ProcessWorld: through shared memory where all members are on one host, else by messages. Both add in rank
// order, so they give the bits of thread ranks.
#pragma once

#include <memory>
#include <vector>

#include "comm/process_world.h"

namespace trireme {

/// `ranks` are world ranks, this one's among them; `lane` is the same number on all members.
std::unique_ptr<Group> make_shared_group(ProcessWorld& world, const std::vector<int>& ranks, uint64_t lane,
                                         Waits waits);
std::unique_ptr<Group> make_message_group(ProcessWorld& world, const std::vector<int>& ranks, uint64_t lane,
                                          Waits waits);

/// What both have in common: places, and messages between two members.
class ProcessGroup : public Group {
 public:
  ProcessGroup(ProcessWorld& world, std::vector<int> ranks, uint64_t lane, Waits waits);
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(ranks_.size()); }
  void send(const Tensor& t, int to) override;
  void recv(Tensor t, int from) override;
  void abort() noexcept override { world_.fail("it was told to stop"); }

 protected:
  static bool skip(const Tensor& t) { return t.device.kind == DeviceKind::meta || t.numel() == 0; }
  int world_rank(int member) const { return ranks_[static_cast<size_t>(member)]; }

  ProcessWorld& world_;
  std::vector<int> ranks_;
  int rank_;
  uint64_t lane_;
  Waits waits_;
};

}  // namespace trireme
