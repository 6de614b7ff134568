#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20, kPage = 4096;

[[noreturn]] void fail(const char* call, const std::string& path, int code = errno) {
  throw IoError(cat(call, " ", path, ": ", std::generic_category().message(code)));
}

/// Opens, however often a signal comes in between, as it may on a file system of a network.
int open_file(const std::string& path, int flags) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}

/// A descriptor closed on scope exit.
class Descriptor {
 public:
  Descriptor(const char* call, const std::string& path, int flags) : fd_(open_file(path, flags)) {
    if (fd_ < 0) fail(call, path);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

const char* kind_of(const struct stat& info) { return S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe"; }

uint64_t regular_file_size(const Descriptor& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail("stat", path);
  if (!S_ISREG(info.st_mode)) throw IoError(cat(path, ": expected a regular file, found ", kind_of(info)));
  return static_cast<uint64_t>(info.st_size);
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

class RealFileSystem final : public FileSystem {
 public:
  int create(const std::string& path) override {
    const int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) fail("create", path);
    return fd;
  }

  int open_partial(const std::string& path) override {
    for (;;) {
      const int fd = open_file(path, O_RDWR | O_CREAT | O_APPEND);
      if (fd < 0) fail("create", path);
      if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ::close(fd);
        throw IoError(cat(path, ": another process is writing this file; wait for it or choose another name"));
      }
      // The one before may have renamed or removed it while we opened it; then that was the file of another name.
      struct stat opened {
      }, named{};
      if (::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
          opened.st_dev == named.st_dev)
        return fd;
      ::close(fd);
    }
  }

  void truncate(int fd, uint64_t size, const std::string& path) override {
    if (::ftruncate(fd, static_cast<off_t>(size)) != 0) fail("truncate", path);
  }

  void write(int fd, std::span<const std::byte> bytes, const std::string& path) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", path);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  void write_uncached(int fd, std::span<const std::byte> bytes, const std::string& path) override {
    const int flags = ::fcntl(fd, F_GETFL);
    ssize_t written = -1;
    if (flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_DIRECT) == 0) {
      written = ::write(fd, bytes.data(), bytes.size());
      const int code = errno;
      if (::fcntl(fd, F_SETFL, flags) != 0) fail("fcntl", path);
      if (written < 0 && code != EINTR && code != EINVAL) fail("write", path, code);
    }
    write(fd, bytes.subspan(written < 0 ? 0 : static_cast<size_t>(written)), path);
  }

  void sync(int fd, const std::string& path) override {
    if (::fsync(fd) != 0) fail("fsync", path);
  }

  void close(int fd, const std::string& path) override {
    // On Linux an interrupted close has closed; what it may not have written, a sync before it has.
    if (::close(fd) != 0 && errno != EINTR) fail("close", path);
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("rename", cat(from, " to ", to));
  }

  void make_directory(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail("make folder", path, error.value());
  }

  void sync_directory(const std::string& path) override {
    const Descriptor folder("open folder", path, O_RDONLY | O_DIRECTORY);
    if (::fsync(folder.get()) != 0) fail("fsync folder", path);
  }

  void remove(const std::string& path) override {
    if (std::remove(path.c_str()) != 0) fail("remove", path);
  }

  void require_space(const std::string& path, uint64_t bytes) override {
    std::string folder = path;  // what is to be made may not exist yet: its nearest existing parent does
    struct statvfs info {};
    while (::statvfs(folder.c_str(), &info) != 0) {
      if (errno == EINTR) continue;
      if (errno != ENOENT || folder == folder_of(folder)) fail("statvfs", folder);
      folder = folder_of(folder);
    }
    const uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
    if (free_bytes < bytes)
      throw IoError(cat(path, ": needs ", bytes, " bytes (", human_bytes(static_cast<double>(bytes)),
                        "), the file system has ", free_bytes, " (", human_bytes(static_cast<double>(free_bytes)),
                        ") free; make room or choose another folder"));
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file("open", path, O_RDONLY);
  size_ = regular_file_size(file, path);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) fail("mmap", path);
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

FileSystem& real_file_system() {
  static RealFileSystem fs;
  return fs;
}

OutputFile::OutputFile(std::string path, FileSystem& fs, bool uncached)
    : fs_(fs), path_(std::move(path)), uncached_(uncached), buffer_(kBufferBytes) {
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    throw IoError(cat(path_, ": expected a regular file or a free name to write to, found ", kind_of(info),
                      "; choose another path"));
}

OutputFile::~OutputFile() {
  try {
    close();
  } catch (const Error&) {  // the file is thrown away: what closing it says does not matter
  }
  remove();
}

void OutputFile::close() {
  if (fd_ >= 0) fs_.close(std::exchange(fd_, -1), temporary_);
}

void OutputFile::remove() noexcept {
  try {
    if (!temporary_.empty()) fs_.remove(std::exchange(temporary_, ""));
  } catch (const Error&) {  // a left-over temporary file harms nobody
  }
}

void OutputFile::rename() {
  fs_.rename(temporary_, path_);
  temporary_.clear();
}

void OutputFile::write(std::span<const std::byte> bytes) {
  CHECK(fd_ >= 0, path_, " is written after commit()");
  size_ += bytes.size();
  if (!uncached_ && bytes.size() > kBufferBytes) {
    flush();
    fs_.write(fd_, bytes, temporary_);
    return;
  }
  while (!bytes.empty()) {
    const size_t taken = std::min(bytes.size(), kBufferBytes - end_);
    std::memcpy(&buffer_[end_], bytes.data(), taken);
    end_ += taken;
    bytes = bytes.subspan(taken);
    if (end_ == kBufferBytes) flush();
  }
}

void OutputFile::begin_at(uint64_t size) {
  size_ = size;
  begin_ = end_ = uncached_ ? size % kPage : 0;
}

/// Whole pages in one write; those that begin before or end behind it by themselves.
void OutputFile::flush() {
  const auto part = [&](size_t from, size_t to) { return std::span<const std::byte>(&buffer_[0] + from, to - from); };
  const size_t first = std::min(end_, (begin_ + kPage - 1) / kPage * kPage),
               last = std::max(first, end_ / kPage * kPage);
  if (!uncached_) {
    if (end_ > 0) fs_.write(fd_, part(0, end_), temporary_);
  } else {
    if (begin_ < first) fs_.write(fd_, part(begin_, first), temporary_);
    if (first < last) fs_.write_uncached(fd_, part(first, last), temporary_);
    if (last < end_) fs_.write(fd_, part(last, end_), temporary_);
  }
  begin_ = end_ = uncached_ ? end_ % kPage : 0;
}

AtomicFile::AtomicFile(std::string path, FileSystem& fs) : OutputFile(std::move(path), fs, false) {
  const std::string name = cat(path_, ".tmp-", ::getpid());
  fd_ = fs_.create(name);
  temporary_ = name;
}

void AtomicFile::commit() {
  CHECK(fd_ >= 0, path_, " is committed twice");
  flush();
  fs_.sync(fd_, temporary_);
  close();
  rename();
  fs_.sync_directory(folder_of(path_));
}

PartialFile::PartialFile(std::string path, FileSystem& fs) : OutputFile(std::move(path), fs, true) {
  const std::string name = path_ + ".partial";
  fd_ = fs_.open_partial(name);
  temporary_ = name;  // from here on it is ours to remove
}

// The open file is the lock, so here the name goes before it is closed.
PartialFile::~PartialFile() { remove(); }

void PartialFile::keep(uint64_t size) {
  CHECK(size_ == 0, temporary_, " is cut after a write");
  fs_.truncate(fd_, size, temporary_);
  begin_at(size);
}

void PartialFile::sync() {
  flush();
  fs_.sync(fd_, temporary_);
}

void PartialFile::commit() {
  CHECK(fd_ >= 0, path_, " is committed twice");
  sync();
  rename();
  close();
  fs_.sync_directory(folder_of(path_));
}

uint64_t file_size(const std::string& path) { return regular_file_size(Descriptor("open", path, O_RDONLY), path); }

std::string read_file(const std::string& path, uint64_t limit) {
  const Descriptor file("open", path, O_RDONLY);
  const uint64_t size = regular_file_size(file, path);
  if (size > limit) throw IoError(cat(path, ": ", size, " bytes are more than the ", limit, " expected here"));
  std::string text(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::read(file.get(), text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path);
    if (got == 0) throw IoError(cat(path, ": ended at byte ", done, " of ", size, " while it was read"));
    done += static_cast<size_t>(got);
  }
  return text;
}

void write_file(const std::string& path, std::string_view text, FileSystem& fs) {
  AtomicFile file(path, fs);
  file.write(text);
  file.commit();
}

}  // namespace trireme
