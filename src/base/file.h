// Files: mapped reads, whole reads, and durable writes. Everything that must survive a crash goes
// through FileSystem, so that tests can make each call fail or record it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/paged_array.h"

namespace trireme {

/// A read-only mapping of a whole file. Empty files map to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);  // IoError where it cannot be opened
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

/// The calls by which durable state reaches a disk. The default one is the real file system.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int create(const std::string& path) = 0;  // new file for writing, truncated; returns a descriptor
  /// A file that outlives its writer: made where missing, else kept as it is; writes go behind its end. IoError where
  /// another process has it open this way.
  virtual int open_partial(const std::string& path) = 0;
  virtual void truncate(int fd, uint64_t size, const std::string& path) = 0;
  virtual void write(int fd, std::span<const std::byte> bytes, const std::string& path) = 0;
  /// As write(), and where the bytes and the end of the file lie on whole pages not by way of the cache of pages, if
  /// the file system can do that. Pages that the machine has not used yet take longer to get than to write.
  virtual void write_uncached(int fd, std::span<const std::byte> bytes, const std::string& path) {
    write(fd, bytes, path);
  }
  virtual void sync(int fd, const std::string& path) = 0;
  virtual void close(int fd, const std::string& path) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void make_directory(const std::string& path) = 0;  // with its parents; may exist
  virtual void sync_directory(const std::string& path) = 0;
  virtual void remove(const std::string& path) = 0;  // a file or an empty folder
  /// IoError (with needed and free bytes) where `path`'s file system has less than `bytes` free.
  virtual void require_space(const std::string& path, uint64_t bytes) = 0;
};

/// The real one: every failure is an IoError naming call, path and reason.
FileSystem& real_file_system();

/// A file written front to back under a temporary name, which commit() of the classes below changes into its own. Not
/// committed, the temporary file is removed.
class OutputFile {
 public:
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  uint64_t size() const { return size_; }

 protected:
  OutputFile(std::string path, FileSystem& fs, bool uncached);
  ~OutputFile();
  /// Writes what is left in the buffer.
  void flush();
  /// The file's end is at `size`, and nothing is in the buffer.
  void begin_at(uint64_t size);
  void rename();
  void close();
  void remove() noexcept;

  FileSystem& fs_;
  std::string path_, temporary_;
  int fd_ = -1;
  uint64_t size_ = 0;

 private:
  bool uncached_;
  PagedArray<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what is in the buffer, where uncached at the file's offsets within a page
};

/// The old content of `path` stays until commit() and is never half-replaced. IoError where `path` is anything but a
/// regular file or a free name: a rename would put a file in the place of a device or pipe.
class AtomicFile : public OutputFile {
 public:
  explicit AtomicFile(std::string path, FileSystem& fs = real_file_system());
  /// Flushes, syncs, renames, syncs the folder.
  void commit();
};

/// The same under the name PATH.partial, which stays where the process is killed, so that the next one may go on behind
/// what it knows to be good. One process at a time: IoError where another one is writing it.
class PartialFile : public OutputFile {
 public:
  explicit PartialFile(std::string path, FileSystem& fs = real_file_system());
  ~PartialFile();
  /// Where the bytes lie until commit().
  const std::string& partial_path() const { return temporary_; }
  /// Drops all bytes but the first `size`; must come before the first write, and there must be as many.
  void keep(uint64_t size);
  /// Returns when what was written so far can be read from partial_path().
  using OutputFile::flush;
  /// Returns when what was written so far survives a loss of power.
  void sync();
  /// Syncs, renames, syncs the folder.
  void commit();
};

/// Size of a regular file. IoError where it is missing or none.
uint64_t file_size(const std::string& path);

/// Whole file as text. IoError where it is missing, a folder, or larger than `limit` bytes.
std::string read_file(const std::string& path, uint64_t limit = uint64_t{1} << 32);

/// Writes and commits `text` atomically.
void write_file(const std::string& path, std::string_view text, FileSystem& fs = real_file_system());

}  // namespace trireme
