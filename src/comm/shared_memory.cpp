#include "comm/shared_memory.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/error.h"

namespace trireme {
namespace {

constexpr long kLongestSleepNs = 100'000'000;

size_t shared_bytes(int world_size) {
  return sizeof(Bell) + kLanes * sizeof(Lane) + static_cast<size_t>(world_size) * sizeof(Ring);
}

uint32_t* word(std::atomic<uint32_t>& value) {
  static_assert(sizeof value == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
  return reinterpret_cast<uint32_t*>(&value);
}

}  // namespace

void Bell::ring() {
  // The ringer's change and the sleeper's announcement are both before this fence or a look that sees the other's.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleeping.load(std::memory_order_relaxed) == 0) return;
  rings.fetch_add(1);
  syscall(SYS_futex, word(rings), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

void Bell::sleep(uint32_t seen) {
  const timespec longest{0, kLongestSleepNs};
  syscall(SYS_futex, word(rings), FUTEX_WAIT, seen, &longest, nullptr, 0);
}

size_t Ring::write(std::span<const std::byte> bytes) {
  const uint64_t at = written.load(std::memory_order_relaxed);
  const size_t room = kRingBytes - static_cast<size_t>(at - read.load(std::memory_order_acquire));
  const size_t n = std::min(bytes.size(), room), begin = at % kRingBytes, first = std::min(n, kRingBytes - begin);
  if (n == 0) return 0;
  std::memcpy(data + begin, bytes.data(), first);
  std::memcpy(data, bytes.data() + first, n - first);
  written.store(at + n, std::memory_order_release);
  return n;
}

size_t Ring::take(std::span<std::byte> bytes) {
  const uint64_t at = read.load(std::memory_order_relaxed);
  const size_t there = static_cast<size_t>(written.load(std::memory_order_acquire) - at);
  const size_t n = std::min(bytes.size(), there), begin = at % kRingBytes, first = std::min(n, kRingBytes - begin);
  if (n == 0) return 0;
  std::memcpy(bytes.data(), data + begin, first);
  std::memcpy(bytes.data() + first, data, n - first);
  read.store(at + n, std::memory_order_release);
  return n;
}

SharedMemory::SharedMemory(Fd file, int world_size, const std::string& whose)
    : file_(std::move(file)), bytes_(shared_bytes(world_size)) {
  void* data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (data == MAP_FAILED) throw IoError(cat("cannot map the shared memory of ", whose, ": ", std::strerror(errno)));
  data_ = static_cast<std::byte*>(data);
}

SharedMemory SharedMemory::create(int world_size) {
  Fd file(memfd_create("trireme", MFD_CLOEXEC));
  if (!file || ftruncate(file.get(), static_cast<off_t>(shared_bytes(world_size))) != 0)
    throw IoError(cat("cannot make shared memory: ", std::strerror(errno)));
  return {std::move(file), world_size, "this rank"};
}

SharedMemory SharedMemory::open(const Card& card) {
  Fd file(::open(cat("/proc/", card.pid, "/fd/", card.memory_fd).c_str(), O_RDWR | O_CLOEXEC));
  if (!file)
    throw IoError(cat("cannot open the shared memory of ", card.str(), ": ", std::strerror(errno),
                      "; ranks of one host must belong to one user"));
  return {std::move(file), card.world_size, card.str()};
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::move(other.file_)), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace trireme
