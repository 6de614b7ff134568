// Messages that have come and wait to be asked for, by sender and channel, in the order of sending. Written by the
// threads that receive, read by the one that asks. Memory of read messages is kept for later ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace trireme {

/// What stands before the bytes of a message.
struct MessageHead {
  uint64_t channel = 0;  // of the receiver's groups: see ProcessWorld
  uint64_t bytes = 0;
};

class Inbox {
 public:
  using Message = std::vector<std::byte>;

  /// Memory for a message of this size, perhaps of an earlier one.
  Message memory(size_t bytes);
  void put(int from, uint64_t channel, Message message);
  /// The oldest one, if there is one. Give it back when it has been read.
  std::optional<Message> take(int from, uint64_t channel);
  void give_back(Message message);

 private:
  std::mutex mutex_;
  std::map<std::pair<int, uint64_t>, std::deque<Message>> queues_;
  std::vector<Message> spare_;
};

}  // namespace trireme
