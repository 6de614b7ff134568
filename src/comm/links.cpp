#include "comm/links.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/thread.h"

namespace trireme {
namespace {

enum Kind : uint32_t { kReady = 1, kGo, kFailure, kFarewell };

struct FrameHead {
  uint32_t kind = 0, bytes = 0;
};

constexpr uint32_t kMaxText = 1 << 16;
constexpr double kFrameSeconds = 5;                // a frame that has begun must end within
constexpr double kSuspectSeconds = 0.3;            // for rank 0 to say who died first: one death ends other ranks
constexpr double kForever = 365.0 * 24 * 3600;     // of a message to a rank that is busy
constexpr uint64_t kFarewellChannel = UINT64_MAX;  // of a message head: no more will come

struct Frame {
  uint32_t kind = 0;
  std::string text;
};

Frame read_frame(const Fd& socket, Deadline deadline) {
  FrameHead head;
  recv_all(socket, writable_bytes_of(head), deadline);
  if (head.bytes > kMaxText) throw IoError(cat("a frame of ", head.bytes, " bytes"));
  Frame frame{head.kind, std::string(head.bytes, '\0')};
  recv_all(socket, std::as_writable_bytes(std::span(frame.text)), deadline);
  return frame;
}

}  // namespace

Links::Links(int rank, Roster roster, std::vector<Fd> data, Inbox& inbox, Events events, Deadline deadline)
    : rank_(rank),
      cards_(std::move(roster.cards)),
      control_(std::move(roster.control)),
      data_(std::move(data)),
      incoming_(data_.size()),
      inbox_(inbox),
      events_(std::move(events)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  agree_that_all_are_ready(deadline);
  thread_ = start_thread([this] { listen(); });
}

Links::~Links() {
  if (!failed_.load()) {
    const std::lock_guard lock(control_mutex_);
    for (const Fd& socket : control_)
      if (socket) tell(socket, kFarewell, "");
    const MessageHead farewell{kFarewellChannel, 0};
    for (const Fd& socket : data_)
      if (socket) ::send(socket.get(), &farewell, sizeof farewell, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  stop_.store(true);
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

/// A frame is small enough for the socket's buffer; a peer that does not read is as good as gone.
void Links::tell(const Fd& socket, uint32_t kind, const std::string& text) noexcept {
  try {
    const FrameHead head{kind, static_cast<uint32_t>(std::min<size_t>(text.size(), kMaxText))};
    send_all(socket, bytes_of(head), after(kFrameSeconds));
    send_all(socket, std::as_bytes(std::span(text.data(), head.bytes)), after(kFrameSeconds));
  } catch (const std::exception&) {  // it is gone, which its end of the connection tells the others
  }
}

void Links::agree_that_all_are_ready(Deadline deadline) {
  const auto expect = [&](const Fd& socket, uint32_t kind, const std::string& from) {
    try {
      const Frame frame = read_frame(socket, deadline);
      if (frame.kind != kind) throw IoError(frame.text);
    } catch (const IoError& e) {
      tell_failure(cat(from, " could not join: ", e.what()));
      throw IoError(cat("rank ", rank_, ": ", from, ": ", e.what()));
    }
  };
  if (rank_ != 0) {
    tell(control_[0], kReady, "");
    return expect(control_[0], kGo, cards_[0].str());
  }
  for (size_t r = 1; r < control_.size(); ++r) expect(control_[r], kReady, cards_[r].str());
  for (size_t r = 1; r < control_.size(); ++r) tell(control_[r], kGo, "");
}

void Links::send(int to, const MessageHead& head, std::span<const std::byte> bytes) {
  const Fd& socket = data_[static_cast<size_t>(to)];
  send_all(socket, bytes_of(head), after(kForever));
  send_all(socket, bytes, after(kForever));
}

void Links::tell_failure(const std::string& why) noexcept {
  failed_.store(true);
  const std::lock_guard lock(control_mutex_);
  for (const Fd& socket : control_)
    if (socket) tell(socket, kFailure, why);
}

void Links::listen() {
  std::vector<pollfd> entries;
  while (!stop_.load()) {
    entries.assign(1, {wake_.get(), POLLIN, 0});
    for (const Fd& socket : control_) entries.push_back({socket.get(), POLLIN, 0});  // -1 is passed over
    for (size_t r = 0; r < data_.size(); ++r) entries.push_back({incoming_[r].ended ? -1 : data_[r].get(), POLLIN, 0});
    const int ready = poll(entries.data(), entries.size(), suspect_ ? poll_ms(suspect_->second) : -1);
    if (suspect_ && poll_ms(suspect_->second) == 0) {
      lost(suspect_->first);
      suspect_.reset();
    }
    if (ready <= 0) continue;
    for (size_t i = 0; i < control_.size(); ++i)
      if (entries[1 + i].revents != 0) read_control(i);
    for (size_t r = 0; r < data_.size(); ++r)
      if (entries[1 + control_.size() + r].revents != 0 && !incoming_[r].ended) read_data(r);
  }
}

/// On rank 0, connection i is that of rank i; elsewhere there is one, to rank 0.
void Links::read_control(size_t i) {
  Frame frame;
  try {
    frame = read_frame(control_[i], after(kFrameSeconds));
  } catch (const IoError&) {
    return lost(i);
  }
  if (frame.kind == kFailure) spread(frame.text);
  if (frame.kind == kFarewell) {
    const std::lock_guard lock(control_mutex_);
    control_[i].reset();
  }
}

void Links::lost(size_t rank) {
  incoming_[rank].ended = true;
  if (data_[rank]) shutdown(data_[rank].get(), SHUT_RDWR);  // wakes a thread that waits to send
  if (rank < control_.size()) {
    const std::lock_guard lock(control_mutex_);
    control_[rank].reset();
  }
  if (failed_.load()) return;  // one death brings others
  spread(cat(cards_[rank].str(), " died, or the connection to it is lost"));
}

/// The others first: this rank may end as soon as it knows, and must not say farewell before.
void Links::spread(const std::string& why) {
  failed_.store(true);
  if (rank_ == 0) tell_failure(why);
  events_.failed(why);
}

void Links::read_data(size_t rank) {
  Incoming& in = incoming_[rank];
  for (;;) {
    std::span<std::byte> rest = writable_bytes_of(in.head);
    if (in.received < sizeof in.head)
      rest = rest.subspan(in.received);
    else
      rest = std::span(in.bytes).subspan(in.received - sizeof in.head);
    if (!rest.empty()) {
      const ssize_t got = recv(data_[rank].get(), rest.data(), rest.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) {
        in.ended = true;
        if (!suspect_) suspect_.emplace(rank, after(kSuspectSeconds));
        return;
      }
      in.received += static_cast<size_t>(got);
    }
    if (in.received < sizeof in.head) continue;
    if (in.head.channel == kFarewellChannel) {
      in.ended = true;
      return;
    }
    if (in.received == sizeof in.head && in.bytes.size() != in.head.bytes) in.bytes = inbox_.memory(in.head.bytes);
    if (in.received < sizeof in.head + in.head.bytes) continue;
    inbox_.put(static_cast<int>(rank), in.head.channel, std::move(in.bytes));
    in = {};
    events_.arrived();
  }
}

}  // namespace trireme
