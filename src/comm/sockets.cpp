#include "comm/sockets.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/error.h"

namespace trireme {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(50);

std::string reason() { return std::strerror(errno); }

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const std::string& host, int port, int flags) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) throw IoError(cat("cannot resolve ", host, ": ", gai_strerror(error)));
  return {found, freeaddrinfo};
}

std::string numeric(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> text{};
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  std::string host = text.data();
  if (host.rfind("::ffff:", 0) == 0) host.erase(0, 7);  // IPv4 through an IPv6 socket
  return host;
}

/// Small messages leave at once, and a peer whose host has vanished is noticed within about 15 s.
void tune(int fd) {
  const auto set = [&](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 5);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set(IPPROTO_TCP, TCP_KEEPCNT, 5);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
}

void wait_for(int fd, short events, Deadline deadline, const char* what) {
  for (;;) {
    pollfd entry{fd, events, 0};
    const int ready = poll(&entry, 1, poll_ms(deadline));
    if (ready > 0) return;
    if (ready == 0) throw IoError(cat(what, ": no answer in time"));
    if (errno != EINTR) throw IoError(cat(what, ": ", reason()));
  }
}

/// One try at one address; empty with errno set where it fails.
Fd try_connect(const addrinfo& address, Deadline deadline) {
  Fd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return {};
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return {};
    pollfd entry{fd.get(), POLLOUT, 0};
    if (poll(&entry, 1, poll_ms(deadline)) <= 0) {
      errno = ETIMEDOUT;
      return {};
    }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      errno = error;
      return {};
    }
  }
  tune(fd.get());
  return fd;
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Deadline after(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
}

int poll_ms(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Fd listen_on(const std::string& address, int port) {
  const Addresses found = resolve(address, port, AI_PASSIVE);
  std::string error = "no address";
  for (const addrinfo* a = found.get(); a != nullptr; a = a->ai_next) {
    Fd fd(socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd && bind(fd.get(), a->ai_addr, a->ai_addrlen) == 0 && listen(fd.get(), SOMAXCONN) == 0) return fd;
    error = reason();
  }
  throw IoError(cat("cannot listen on ", address.empty() ? "any address" : address, ":", port, ": ", error));
}

int port_of(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string own_address(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return numeric(address, size);
}

std::string peer_address(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return numeric(address, size);
}

Fd connect_to(const std::string& host, int port, Deadline deadline) {
  for (;;) {
    const Addresses found = resolve(host, port, 0);
    for (const addrinfo* a = found.get(); a != nullptr; a = a->ai_next)
      if (Fd fd = try_connect(*a, deadline)) return fd;
    const std::string error = reason();
    if (poll_ms(deadline) == 0) throw IoError(cat("cannot connect to ", host, ":", port, ": ", error));
    std::this_thread::sleep_for(kRetry);  // the other side may not be up yet
  }
}

Fd accept_from(const Fd& listener, Deadline deadline) {
  for (;;) {
    pollfd entry{listener.get(), POLLIN, 0};
    const int ready = poll(&entry, 1, poll_ms(deadline));
    if (ready == 0) return {};
    if (ready > 0) {
      Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        tune(fd.get());
        return fd;
      }
    }
    // A connection that was gone again is no error of ours.
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) throw IoError(cat("accept: ", reason()));
  }
}

void send_all(const Fd& socket, std::span<const std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0)
      bytes = bytes.subspan(static_cast<size_t>(sent));
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      wait_for(socket.get(), POLLOUT, deadline, "send");
    else if (errno != EINTR)
      throw IoError(cat("send to ", peer_address(socket), ": ", reason()));
  }
}

void recv_all(const Fd& socket, std::span<std::byte> bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t got = recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (got > 0)
      bytes = bytes.subspan(static_cast<size_t>(got));
    else if (got == 0)
      throw IoError("the other side closed the connection");
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      wait_for(socket.get(), POLLIN, deadline, "receive");
    else if (errno != EINTR)
      throw IoError(cat("receive from ", peer_address(socket), ": ", reason()));
  }
}

Nonce random_nonce() {
  Nonce nonce;
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    throw IoError(cat("getrandom: ", reason()));
  return nonce;
}

Digest proof(const std::string& secret, const char* speaker, const Nonce& theirs, const Nonce& ours,
             std::span<const std::byte> said) {
  std::vector<std::byte> text;
  const auto add = [&](std::span<const std::byte> part) { text.insert(text.end(), part.begin(), part.end()); };
  add(std::as_bytes(std::span(speaker, std::strlen(speaker) + 1)));
  add(theirs);
  add(ours);
  add(said);
  return hmac_sha256(secret, text);
}

}  // namespace trireme
