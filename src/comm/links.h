// The connections of one process: to rank 0 (there: to every rank), on which failures and farewells are told, and to
// ranks of other hosts, on which messages come. One thread listens on all of them, so a death is noticed and a message
// taken whatever the rank is doing.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/inbox.h"
#include "comm/rendezvous.h"

namespace trireme {

class Links {
 public:
  /// What the listening thread calls: a rank has failed, or a message lies in the inbox.
  struct Events {
    std::function<void(const std::string& why)> failed;
    std::function<void()> arrived;
  };

  /// `data`: by rank, empty for those of this host. Returns when all ranks have made theirs; IoError where one could
  /// not, with its reason.
  Links(int rank, Roster roster, std::vector<Fd> data, Inbox& inbox, Events events, Deadline deadline);
  /// Says farewell unless something has failed.
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  /// A message to a rank of another host; returns when the system has taken it.
  void send(int to, const MessageHead& head, std::span<const std::byte> bytes);
  /// Tells all other ranks that this one, or another, has failed.
  void tell_failure(const std::string& why) noexcept;

 private:
  /// What has been read of the next message of a data connection. The connection itself stays open until the listening
  /// thread has ended, since others send on it.
  struct Incoming {
    MessageHead head;
    size_t received = 0;  // of head and bytes together
    Inbox::Message bytes;
    bool ended = false;
  };

  void tell(const Fd& socket, uint32_t kind, const std::string& text) noexcept;
  void agree_that_all_are_ready(Deadline deadline);
  void listen();
  void read_control(size_t i);
  void read_data(size_t rank);
  void lost(size_t rank);
  void spread(const std::string& why);

  int rank_;
  std::vector<Card> cards_;
  std::vector<Fd> control_, data_;
  std::vector<Incoming> incoming_;
  std::optional<std::pair<size_t, Deadline>> suspect_;  // a rank whose data connection has ended
  Inbox& inbox_;
  Events events_;
  Fd wake_;
  std::atomic<bool> stop_{false}, failed_{false};
  std::mutex control_mutex_;  // of writing to control_, and of closing one
  std::thread thread_;
};

}  // namespace trireme
