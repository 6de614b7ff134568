#include "comm/process_world.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "base/error.h"
#include "comm/process_group.h"

namespace trireme {
namespace {

constexpr double kSpinSeconds = 50e-6;        // a collective's other side is usually there within
constexpr double kCrowdedSpinSeconds = 1e-6;  // where ranks share cores, a spinning one keeps the other from coming
constexpr int kSpinsBetweenClocks = 32;
constexpr double kToldSeconds = 0.5;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void relax() { __builtin_ia32_pause(); }

}  // namespace

ProcessWorld::ProcessWorld(WorldOptions options)
    : options_(std::move(options)),
      spin_seconds_(options_.place.local_world_size > sysconf(_SC_NPROCESSORS_ONLN) ? kCrowdedSpinSeconds
                                                                                    : kSpinSeconds) {
  const Deadline deadline = after(options_.timeout_seconds);
  const size_t me = static_cast<size_t>(rank());
  memories_.resize(static_cast<size_t>(size()));
  arriving_.resize(memories_.size());
  posting_.resize(memories_.size());
  memories_[me] = SharedMemory::create(size());
  Card mine;
  mine.memory_fd = memories_[me].fd();
  Roster roster = rendezvous(options_, mine);
  mine = roster.cards[me];
  for (const Card& card : roster.cards) {
    names_.push_back(card.str());
    if (card.rank == rank() || std::string_view(card.host) != mine.host) continue;
    memories_[static_cast<size_t>(card.rank)] = SharedMemory::open(card);
    neighbours_.push_back(card.rank);
  }
  std::vector<Fd> data = connect_others(roster, mine, deadline);
  links_ = std::make_unique<Links>(
      rank(), std::move(roster), std::move(data), inbox_,
      Links::Events{[this](const std::string& why) { set_failure(why); }, [this, me] { memories_[me].bell().ring(); }},
      deadline);
  for (SharedMemory& segment : memories_) segment.close_file();
}

ProcessWorld::~ProcessWorld() {
  if (std::uncaught_exceptions() > 0) fail("it ended with an error");
}

/// The rank of higher number connects, so that each pair has one connection.
std::vector<Fd> ProcessWorld::connect_others(const Roster& roster, const Card& mine, Deadline deadline) const {
  std::vector<Fd> data(memories_.size());
  int expected = 0;
  for (const Card& card : roster.cards) {
    if (shares_memory(card.rank)) continue;
    if (card.rank > rank())
      ++expected;
    else
      data[static_cast<size_t>(card.rank)] = connect_peer(options_, mine, card, deadline);
  }
  while (expected > 0) {
    int from = -1;
    Fd socket = accept_peer(options_, roster.listener, from, deadline);
    if (socket && from > rank() && from < size() && !data[static_cast<size_t>(from)]) {
      data[static_cast<size_t>(from)] = std::move(socket);
      --expected;
    } else if (poll_ms(deadline) == 0) {
      throw IoError(cat("rank ", rank(), ": ", expected, " ranks of other hosts have not connected to ",
                        roster.cards[static_cast<size_t>(rank())].address, ":", port_of(roster.listener),
                        "; is a firewall between them?"));
    }
  }
  return data;
}

std::unique_ptr<Group> ProcessWorld::group(const std::vector<int>& ranks, Waits waits) {
  CHECK(std::find(ranks.begin(), ranks.end(), rank()) != ranks.end(), "rank ", rank(), " is not in the group");
  if (ranks.size() == 1) return std::make_unique<SingleGroup>();
  const uint64_t lane = next_lane_++;
  CHECK(lane < kLanes, "more than ", kLanes, " groups");
  if (std::all_of(ranks.begin(), ranks.end(), [&](int r) { return shares_memory(r); }))
    return make_shared_group(*this, ranks, lane, waits);
  return make_message_group(*this, ranks, lane, waits);
}

void ProcessWorld::fail(const std::string& why) noexcept {
  if (failed_.load()) return;
  const std::string text = cat(name(rank()), " failed: ", why);
  set_failure(text);
  links_->tell_failure(text);
}

void ProcessWorld::set_failure(const std::string& why) {
  {
    const std::lock_guard lock(failure_mutex_);
    if (failed_.load()) return;
    failure_ = why;
    failed_.store(true);
  }
  memory_of(rank()).bell().ring();
}

void ProcessWorld::check() const {
  if (!failed_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(failure_mutex_);
  throw PeerError(cat(failure_, "; rank ", rank(), " stops too"));
}

void ProcessWorld::wait(FunctionRef<bool()> ready, FunctionRef<std::string()> what, Waits waits) {
  const Clock::time_point begin = Clock::now();
  do {
    for (int i = 0; i < kSpinsBetweenClocks; ++i) {
      if (ready()) return;
      read_rings();
      relax();
    }
  } while (seconds_since(begin) < spin_seconds_);
  Bell& bell = memory_of(rank()).bell();
  while (true) {
    const uint32_t seen = bell.rings.load();
    bell.sleeping.fetch_add(1);  // from here on whoever changes something rings
    std::atomic_thread_fence(std::memory_order_seq_cst);
    read_rings();
    const bool done = ready();
    if (!done && !failed_.load()) bell.sleep(seen);
    bell.sleeping.fetch_sub(1);
    if (done) return;
    check();
    if (waits == Waits::limited && options_.wait_seconds > 0 && seconds_since(begin) > options_.wait_seconds)
      throw IoError(cat("rank ", rank(), " has waited ", options_.wait_seconds, " s for ", what()));
  }
}

void ProcessWorld::read_rings() {
  const bool any = std::any_of(neighbours_.begin(), neighbours_.end(), [&](int from) {
    const Ring& ring = memory_of(from).ring_to(rank());
    return ring.written.load(std::memory_order_acquire) != ring.read.load(std::memory_order_relaxed);
  });
  if (!any) return;
  const std::unique_lock lock(reading_, std::try_to_lock);
  if (!lock) return;  // another thread is at it, and rings our bell too
  for (const int from : neighbours_) read_ring(from);
}

void ProcessWorld::read_ring(int from) {
  Ring& ring = memory_of(from).ring_to(rank());
  Arriving& in = arriving_[static_cast<size_t>(from)];
  bool any = false;
  while (true) {
    const std::span<std::byte> rest = in.received < sizeof in.head
                                          ? writable_bytes_of(in.head).subspan(in.received)
                                          : std::span(in.bytes).subspan(in.received - sizeof in.head);
    const size_t got = ring.take(rest);
    if (got == 0 && !rest.empty()) break;
    any = true;
    in.received += got;
    if (in.received == sizeof in.head) in.bytes = inbox_.memory(in.head.bytes);
    if (in.received < sizeof in.head || in.received < sizeof in.head + in.head.bytes) continue;
    inbox_.put(from, in.head.channel, std::move(in.bytes));
    in = {};
    memory_of(rank()).bell().ring();  // it may be for another thread
  }
  if (any) memory_of(from).bell().ring();  // there is room again
}

void ProcessWorld::post(int to, uint64_t channel, std::span<const std::byte> bytes, Waits waits) {
  check();
  const std::lock_guard lock(posting_[static_cast<size_t>(to)]);
  const MessageHead head{channel, bytes.size()};
  if (!shares_memory(to)) {
    try {
      return links_->send(to, head, bytes);
    } catch (const IoError&) {
      const Deadline told = after(kToldSeconds);  // which rank failed first is told by another connection
      while (!failed_.load() && poll_ms(told) > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      check();
      throw PeerError(cat(name(to), " died, or the connection to it is lost; rank ", rank(), " stops too"));
    }
  }
  Ring& ring = memory_of(rank()).ring_to(to);
  for (std::span<const std::byte> rest : {bytes_of(head), bytes}) {
    while (!rest.empty()) {
      const size_t sent = ring.write(rest);
      rest = rest.subspan(sent);
      if (sent > 0) memory_of(to).bell().ring();
      if (sent == 0)
        wait([&] { return ring.written.load() - ring.read.load(std::memory_order_acquire) < kRingBytes; },
             [&] { return cat(name(to), " to take a message"); }, waits);
    }
  }
}

void ProcessWorld::take(int from, uint64_t channel, std::span<std::byte> bytes, Waits waits) {
  std::optional<Inbox::Message> message;
  wait([&] { return (message = inbox_.take(from, channel)).has_value(); },
       [&] { return cat("a message from ", name(from)); }, waits);
  CHECK(message->size() == bytes.size(), "rank ", rank(), " expects ", bytes.size(), " bytes from rank ", from,
        ", which sent ", message->size());
  std::copy(message->begin(), message->end(), bytes.begin());
  inbox_.give_back(std::move(*message));
}

}  // namespace trireme
