// Memory that the ranks of one host share: each rank makes one segment, a nameless file that vanishes with the last
// process that has it open, and maps those of the others. It holds the rank's bell (on which it sleeps), what it
// shows in collectives (a lane a group) and the rings in which its messages travel.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/rendezvous.h"

namespace trireme {

constexpr size_t kLanes = 12;                   // groups a rank may be in
constexpr size_t kSlotBytes = size_t{1} << 18;  // of a lane's buffer: what a rank shows at a time
constexpr size_t kRingBytes = size_t{1} << 20;  // of messages on their way from one rank to another
constexpr size_t kCacheLine = 64;

/// Where a rank sleeps while it waits. Whoever changes what it may wait for rings, but only where it sleeps.
struct Bell {
  alignas(kCacheLine) std::atomic<uint32_t> rings;
  alignas(kCacheLine) std::atomic<uint32_t> sleeping;

  void ring();
  /// Sleeps unless it has rung since `rings` was `seen`; at most 100 ms.
  void sleep(uint32_t seen);
};

/// One rank's place in one group's collectives: how often it has met the others, and two buffers used in turns. A
/// buffer is written again only after a meeting at which every reader of its last content had arrived.
struct Lane {
  alignas(kCacheLine) std::atomic<uint64_t> met;
  alignas(kCacheLine) std::byte slots[2][kSlotBytes];
};

/// Bytes from one rank to another, written by one thread and read by one. Counters only grow.
struct Ring {
  alignas(kCacheLine) std::atomic<uint64_t> written;
  alignas(kCacheLine) std::atomic<uint64_t> read;
  alignas(kCacheLine) std::byte data[kRingBytes];

  /// As much of `bytes` as there is room for; how much that was.
  size_t write(std::span<const std::byte> bytes);
  /// As much as there is, at most bytes.size(); how much that was.
  size_t take(std::span<std::byte> bytes);
};

/// A mapped segment. Pages that nobody touches take no memory.
class SharedMemory {
 public:
  SharedMemory() = default;
  /// This rank's own, with a ring to each rank of the world.
  static SharedMemory create(int world_size);
  /// Another rank's, opened through its process. IoError naming it.
  static SharedMemory open(const Card& card);
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;

  explicit operator bool() const { return data_ != nullptr; }
  int fd() const { return file_.get(); }
  /// The file may be closed when all have opened it.
  void close_file() { file_.reset(); }

  Bell& bell() const { return *reinterpret_cast<Bell*>(data_); }
  Lane& lane(size_t i) const { return reinterpret_cast<Lane*>(data_ + sizeof(Bell))[i]; }
  Ring& ring_to(int rank) const { return reinterpret_cast<Ring*>(data_ + sizeof(Bell) + kLanes * sizeof(Lane))[rank]; }

 private:
  SharedMemory(Fd file, int world_size, const std::string& whose);
  Fd file_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace trireme
