#include "comm/inbox.h"

#include <utility>

namespace trireme {

constexpr size_t kMaxSpare = 16;

Inbox::Message Inbox::memory(size_t bytes) {
  Message message;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      message = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  message.resize(bytes);
  return message;
}

void Inbox::put(int from, uint64_t channel, Message message) {
  const std::lock_guard lock(mutex_);
  queues_[{from, channel}].push_back(std::move(message));
}

std::optional<Inbox::Message> Inbox::take(int from, uint64_t channel) {
  const std::lock_guard lock(mutex_);
  const auto queue = queues_.find({from, channel});
  if (queue == queues_.end() || queue->second.empty()) return std::nullopt;
  Message message = std::move(queue->second.front());
  queue->second.pop_front();
  return message;
}

void Inbox::give_back(Message message) {
  const std::lock_guard lock(mutex_);
  if (spare_.size() < kMaxSpare) spare_.push_back(std::move(message));
}

}  // namespace trireme
