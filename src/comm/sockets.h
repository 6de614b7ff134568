// TCP for the ranks of a job: owned descriptors, whole reads and writes up to a deadline, and a handshake in which both
// sides prove that they know the job's secret before either believes a byte. Every error is an IoError with the
// address.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/sha256.h"

namespace trireme {

/// An open file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

using Deadline = std::chrono::steady_clock::time_point;
Deadline after(double seconds);
/// Milliseconds until then for poll(): 0 where it has passed.
int poll_ms(Deadline deadline);

/// A listening socket on `address` (empty: every interface); port 0 takes a free one.
Fd listen_on(const std::string& address, int port);
int port_of(const Fd& socket);
/// The numeric addresses of the two ends.
std::string own_address(const Fd& socket);
std::string peer_address(const Fd& socket);

/// Tries until it is connected or the deadline has passed; the error is that of the last try.
Fd connect_to(const std::string& host, int port, Deadline deadline);
/// The next connection, or an empty Fd where none has come by the deadline.
Fd accept_from(const Fd& listener, Deadline deadline);

void send_all(const Fd& socket, std::span<const std::byte> bytes, Deadline deadline);
void recv_all(const Fd& socket, std::span<std::byte> bytes, Deadline deadline);
template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class T>
std::span<std::byte> writable_bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

/// One side's part in a handshake: 32 random bytes.
using Nonce = Digest;
Nonce random_nonce();
/// What proves the secret: over both nonces, who speaks, and what is said.
Digest proof(const std::string& secret, const char* speaker, const Nonce& theirs, const Nonce& ours,
             std::span<const std::byte> said);

}  // namespace trireme
