#include "comm/rendezvous.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr double kStrangerSeconds = 2;  // in which a caller must have proved itself
constexpr size_t kMaxCallers = 256;     // that are not yet proved, at a time
constexpr double kReportSeconds = 5;
constexpr uint64_t kMagic = 0x3165'6D65'7269'7274;  // "trireme1"; a change of Card or of frames changes it

struct Greeting {  // from the side that was called
  uint64_t magic = kMagic;
  Nonce nonce;
};

struct Hello {  // the caller's answer
  uint64_t magic = kMagic;
  Nonce nonce;
  Card card;
  Digest proof;
};

/// Ranks as "1, 2 and 5"; the first ten of many.
std::string list(const std::vector<int>& ranks) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(ranks.size(), 10); ++i)
    text += cat(i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return ranks.size() > 10 ? cat(text, " and ", ranks.size() - 10, " more") : text;
}

template <size_t N>
void set(char (&to)[N], const std::string& from) {
  std::memset(to, 0, N);
  std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

/// The caller's side of the handshake.
void introduce(const Fd& socket, const WorldOptions& options, const Card& card, Deadline deadline) {
  Greeting greeting;
  recv_all(socket, writable_bytes_of(greeting), deadline);
  if (greeting.magic != kMagic) throw IoError("what answers there is no trireme, or another version of it");
  Hello hello;
  hello.nonce = random_nonce();
  hello.card = card;
  hello.proof = proof(options.secret, "caller", greeting.nonce, hello.nonce, bytes_of(card));
  send_all(socket, bytes_of(hello), deadline);
  failpoint("rendezvous.hello");
  Digest answer;
  recv_all(socket, writable_bytes_of(answer), deadline);
  if (!equal_digests(answer, proof(options.secret, "called", hello.nonce, greeting.nonce, bytes_of(card))))
    throw IoError("what answers there does not know this job's secret");
}

/// Whether `hello` is of a rank of this job.
bool believed(const Hello& hello, const WorldOptions& options, const Nonce& nonce) {
  return hello.magic == kMagic &&
         equal_digests(hello.proof, proof(options.secret, "caller", nonce, hello.nonce, bytes_of(hello.card)));
}

Digest welcome(const Hello& hello, const WorldOptions& options, const Nonce& nonce) {
  return proof(options.secret, "called", hello.nonce, nonce, bytes_of(hello.card));
}

/// Rank 0's part: many callers at a time, none of whom can hold up another.
class Door {
 public:
  Door(const WorldOptions& options, const Card& mine)
      : options_(options),
        listener_(options.listener_fd >= 0 ? Fd(options.listener_fd)
                                           : listen_on(single_host() ? "127.0.0.1" : "", options.place.master_port)) {
    roster_.cards.resize(static_cast<size_t>(options.place.world_size));
    roster_.control.resize(roster_.cards.size());
    roster_.cards[0] = mine;
    set(roster_.cards[0].address, options.place.master_address);
  }

  Roster gather() {
    const Deadline deadline = after(options_.timeout_seconds);
    Deadline report = after(kReportSeconds);
    for (std::vector<int> missing = absent(); !missing.empty(); missing = absent()) {
      if (poll_ms(deadline) == 0)
        throw IoError(cat("rendezvous on port ", options_.place.master_port, ": after ",
                          number(options_.timeout_seconds), " s ", missing.size(), " of ", roster_.cards.size(),
                          " ranks are missing: ", list(missing)));
      if (poll_ms(report) == 0) {
        log_info(cat("waiting for ", missing.size(), " of ", roster_.cards.size(), " ranks: ", list(missing)));
        report = after(kReportSeconds);
      }
      serve(std::min(deadline, report));
    }
    for (size_t r = 1; r < roster_.cards.size(); ++r)
      send_all(roster_.control[r], std::as_bytes(std::span(roster_.cards)), after(kStrangerSeconds));
    return std::move(roster_);
  }

 private:
  struct Caller {
    Fd socket;
    Nonce nonce;
    Hello hello;
    size_t received = 0;
    Deadline deadline;
  };

  bool single_host() const { return options_.place.local_world_size == options_.place.world_size; }

  std::vector<int> absent() const {
    std::vector<int> ranks;
    for (size_t r = 1; r < roster_.control.size(); ++r)
      if (!roster_.control[r]) ranks.push_back(static_cast<int>(r));
    return ranks;
  }

  void serve(Deadline until) {
    std::vector<pollfd> entries = {{listener_.get(), POLLIN, 0}};
    for (const Caller& c : callers_) {
      entries.push_back({c.socket.get(), POLLIN, 0});
      until = std::min(until, c.deadline);
    }
    poll(entries.data(), entries.size(), poll_ms(until));
    for (size_t i = 0; i < callers_.size(); ++i)
      if ((entries[i + 1].revents != 0 && !read_some(callers_[i])) || poll_ms(callers_[i].deadline) == 0)
        callers_[i].socket.reset();  // strangers leave without an answer
    std::erase_if(callers_, [](const Caller& c) { return !c.socket; });
    if (entries[0].revents == 0 || callers_.size() >= kMaxCallers) return;
    Caller caller{accept_from(listener_, Deadline()), random_nonce(), {}, 0, after(kStrangerSeconds)};
    if (!caller.socket) return;
    const Greeting greeting{kMagic, caller.nonce};
    try {
      send_all(caller.socket, bytes_of(greeting), caller.deadline);
    } catch (const IoError&) {
      return;  // gone again
    }
    callers_.push_back(std::move(caller));
  }

  /// False where the caller is to be dropped, or has become a rank.
  bool read_some(Caller& caller) {
    const std::span<std::byte> rest = writable_bytes_of(caller.hello).subspan(caller.received);
    const ssize_t got = recv(caller.socket.get(), rest.data(), rest.size(), 0);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    caller.received += static_cast<size_t>(got);
    if (caller.received < sizeof(Hello)) return true;
    if (!believed(caller.hello, options_, caller.nonce)) return false;
    admit(caller);
    return false;
  }

  void admit(Caller& caller) {
    Card card = caller.hello.card;
    const int rank = card.rank, size = options_.place.world_size;
    if (card.world_size != size || rank < 1 || rank >= size)
      throw IoError(cat("rendezvous: a process came as rank ", rank, " of ", card.world_size, ", but WORLD_SIZE is ",
                        size, " here; all must be started with the same WORLD_SIZE"));
    if (roster_.control[static_cast<size_t>(rank)])
      throw IoError(cat("rendezvous: two processes came as rank ", rank, "; each must have its own RANK"));
    failpoint("rendezvous.admit");
    set(card.address, peer_address(caller.socket));
    send_all(caller.socket, welcome(caller.hello, options_, caller.nonce), caller.deadline);
    roster_.cards[static_cast<size_t>(rank)] = card;
    roster_.control[static_cast<size_t>(rank)] = std::move(caller.socket);
  }

  const WorldOptions& options_;
  Fd listener_;
  std::vector<Caller> callers_;
  Roster roster_;
};

std::string host_name() {
  char name[64] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

std::string Card::str() const { return cat("rank ", rank, " (pid ", pid, " on ", host_name, ")"); }

std::string host_identity() {
  char space[64] = {};
  if (readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) space[0] = '\0';
  std::string boot;  // files of /proc have no size that read_file could go by
  if (!(std::ifstream("/proc/sys/kernel/random/boot_id") >> boot))
    throw IoError("cannot read /proc/sys/kernel/random/boot_id, by which ranks know whether they share a host");
  return cat(boot, " ", space);
}

Roster rendezvous(const WorldOptions& options, Card mine) {
  const RankPlace& place = options.place;
  const bool single_host = place.local_world_size == place.world_size;
  const std::string& address = place.master_address;
  set(mine.host, options.host.empty() ? host_identity() : options.host);
  set(mine.host_name, host_name());
  mine.rank = place.rank;
  mine.world_size = place.world_size;
  mine.pid = getpid();
  if (place.rank == 0) {
    Fd listener = listen_on(single_host ? "127.0.0.1" : "", 0);
    mine.port = port_of(listener);
    Roster roster = Door(options, mine).gather();
    roster.listener = std::move(listener);
    return roster;
  }
  try {
    const Deadline deadline = after(options.timeout_seconds);
    Roster roster;
    Fd socket = connect_to(single_host ? "127.0.0.1" : address, place.master_port, deadline);
    roster.listener = listen_on(own_address(socket), 0);
    mine.port = port_of(roster.listener);
    introduce(socket, options, mine, after(kStrangerSeconds));
    roster.cards.resize(static_cast<size_t>(place.world_size));
    recv_all(socket, std::as_writable_bytes(std::span(roster.cards)), after(options.timeout_seconds));
    roster.control.push_back(std::move(socket));
    return roster;
  } catch (const IoError& e) {
    throw IoError(
        cat("rank ", place.rank, ": rendezvous with rank 0 at ", address, ":", place.master_port, ": ", e.what()));
  }
}

Fd connect_peer(const WorldOptions& options, const Card& mine, const Card& peer, Deadline deadline) {
  try {
    Fd socket = connect_to(peer.rank == 0 ? options.place.master_address : peer.address, peer.port, deadline);
    introduce(socket, options, mine, deadline);
    return socket;
  } catch (const IoError& e) {
    throw IoError(cat("rank ", mine.rank, ": connection to ", peer.str(), ": ", e.what()));
  }
}

Fd accept_peer(const WorldOptions& options, const Fd& listener, int& rank, Deadline deadline) {
  Fd socket = accept_from(listener, deadline);
  if (!socket) return {};
  try {
    const Deadline soon = std::min(deadline, after(kStrangerSeconds));
    const Greeting greeting{kMagic, random_nonce()};
    send_all(socket, bytes_of(greeting), soon);
    Hello hello;
    recv_all(socket, writable_bytes_of(hello), soon);
    if (!believed(hello, options, greeting.nonce)) return {};
    send_all(socket, welcome(hello, options, greeting.nonce), soon);
    rank = hello.card.rank;
    return socket;
  } catch (const IoError&) {
    return {};  // a stranger; a rank of ours would have known what to say
  }
}

}  // namespace trireme
