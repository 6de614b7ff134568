// File systems for tests of durable state: one that fails, and one that records what was done so that the disk can be
// rebuilt as a power loss at any moment may have left it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace trireme::testing {

/// Does what the real one does, but tells before() of each call first, which may throw.
class ForwardingFileSystem : public FileSystem {
 public:
  int create(const std::string& path) override;
  int open_partial(const std::string& path) override;
  void truncate(int fd, uint64_t size, const std::string& path) override;
  void write(int fd, std::span<const std::byte> bytes, const std::string& path) override;
  void sync(int fd, const std::string& path) override;
  void close(int fd, const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void make_directory(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  void remove(const std::string& path) override;
  void require_space(const std::string& path, uint64_t bytes) override;

 protected:
  virtual void before(const std::string& call, const std::string& path);
};

/// Throws IoError at call `fail_at` (from 0); with `dead` at every later one too, as if the process had been killed. A
/// failing write leaves half of its bytes. Threads may share it.
class FailingFileSystem : public ForwardingFileSystem {
 public:
  FailingFileSystem(int64_t fail_at, std::string reason, bool dead = false)
      : fail_at_(fail_at), reason_(std::move(reason)), dead_(dead) {}
  void write(int fd, std::span<const std::byte> bytes, const std::string& path) override;

  int64_t calls() const { return calls_; }
  /// To be asked for when all threads have done with it.
  const std::string& failed_call() const { return failed_; }

 protected:
  void before(const std::string& call, const std::string& path) override;

 private:
  int64_t fail_at_;
  std::string reason_;
  bool dead_;
  std::atomic<int64_t> calls_{0};
  std::mutex mutex_;
  std::string failed_;  // the first
};

/// Does what the real one does and keeps a log of it. Threads may share it.
class RecordingFileSystem : public ForwardingFileSystem {
 public:
  struct Call {
    std::string name, path, to;  // `to`: of a rename
    std::string bytes;           // of a write
    int fd = -1;                 // -1 for a sync: that of the file under its path
    uint64_t size = 0;           // of a truncation
  };

  /// Calls named in `skip` are neither done nor recorded: a writer that forgets them.
  explicit RecordingFileSystem(std::string skip = "") : skip_(std::move(skip)) {}

  int create(const std::string& path) override;
  int open_partial(const std::string& path) override;
  void truncate(int fd, uint64_t size, const std::string& path) override;
  void write(int fd, std::span<const std::byte> bytes, const std::string& path) override;
  void sync(int fd, const std::string& path) override;
  void close(int fd, const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void make_directory(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  void remove(const std::string& path) override;

  /// To be asked for when all threads have done with it.
  const std::vector<Call>& log() const { return log_; }
  /// Puts a word of the test's own between the calls, with a number.
  void mark(const std::string& word, uint64_t number) { add({word, "", "", "", -1, number}); }

  /// crash_image of this log.
  void crash_image(const std::string& root, size_t num_calls, const std::string& image, std::mt19937_64& random) const;

 private:
  void add(Call call);

  std::string skip_;
  std::mutex mutex_;
  std::vector<Call> log_;
};

/// Writes to `image` what a disk may hold of `root` after the first `num_calls` calls of `log` and a power loss: what
/// was synced is there; each unsynced write was applied, dropped, zeroed, torn or replaced by what lay there before,
/// each unsynced change of a folder applied or dropped, as `random` decides. `root` itself existed and was durable.
void crash_image(const std::vector<RecordingFileSystem::Call>& log, const std::string& root, size_t num_calls,
                 const std::string& image, std::mt19937_64& random);

}  // namespace trireme::testing
