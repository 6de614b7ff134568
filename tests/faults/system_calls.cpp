#include "faults/system_calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace trireme::testing {
namespace {

std::atomic<CallWatch*> the_watch{nullptr};

/// "step-000000002-3fa2c1" without its random word.
std::string without_random_words(std::string path) {
  constexpr size_t kWord = 6;
  for (size_t at = 0; (at = path.find("step-", at)) != std::string::npos; ++at) {
    const size_t end = path.find('-', at + 5);
    if (end != std::string::npos && end + 1 + kWord <= path.size()) path.replace(end + 1, kWord, "~");
  }
  return path;
}

}  // namespace

const std::vector<int>& errors_of(const std::string& call) {
  static const std::map<std::string, std::vector<int>> kErrors = {
      {"open", {EACCES, EDQUOT, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS, ESTALE}},
      {"openat", {EACCES, EIO, EMFILE, ENFILE, ENOMEM, ESTALE}},
      {"write", {EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EROFS, ESTALE, kShort}},
      {"fsync", {EDQUOT, EINTR, EIO, ENOSPC, EROFS, ESTALE}},
      {"close", {EDQUOT, EINTR, EIO, ENOSPC, ESTALE}},
      {"rename", {EACCES, EBUSY, EDQUOT, EIO, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE}},
      {"mkdir", {EACCES, EDQUOT, EIO, EMLINK, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE}},
      {"remove", {EACCES, EBUSY, EIO, ENOMEM, EPERM, EROFS, ESTALE}},
      {"statvfs", {EACCES, EINTR, EIO, ENOMEM, ESTALE}},
      {"stat", {EACCES, EIO, ENOMEM, ESTALE}},
      {"lstat", {EACCES, EIO, ENOMEM, ESTALE}},
      {"fstat", {EIO, ENOMEM, ESTALE}},
      {"readdir", {EIO, ESTALE}},
      {"read", {EINTR, EIO, ESTALE, kShort}},
      {"mmap", {EACCES, EAGAIN, ENODEV, ENOMEM}},
  };
  return kErrors.at(call);
}

std::string error_name(int error) { return error == kShort ? "short" : strerrorname_np(error); }

CallWatch::CallWatch(std::string root) : CallWatch(std::move(root), {}, 0) {}

CallWatch::CallWatch(std::string root, SystemCall fails, int error)
    : root_(std::move(root)), fails_(std::move(fails)), error_(error) {
  the_watch = this;
}

CallWatch::~CallWatch() { the_watch = nullptr; }

std::vector<SystemCall> CallWatch::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

bool CallWatch::failed() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

int CallWatch::before(const char* name, const std::string& path) {
  if (path.rfind(root_, 0) != 0) return 0;
  const std::lock_guard lock(mutex_);
  SystemCall call{name, without_random_words(path.substr(root_.size())), 0};
  call.pass = passes_[{call.name, call.path}]++;
  calls_.push_back(call);
  if (error_ == 0 || failed_ || !(call == fails_)) return 0;
  failed_ = true;
  failed_path_ = path;
  return error_;
}

int CallWatch::before(const char* name, int fd) {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    const auto found = paths_.find(fd);
    if (found == paths_.end()) return 0;
    path = found->second;
    if (std::strcmp(name, "close") == 0) paths_.erase(found);
  }
  return before(name, path);
}

void CallWatch::opened(int fd, const std::string& path) {
  const std::lock_guard lock(mutex_);
  paths_[fd] = path;
}

namespace {

/// The C library's function.
template <class Function>
Function* library(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// 0, or the error with which the call is to end.
template <class PathOrFd>
int error_before(const char* name, PathOrFd at) {
  CallWatch* watch = the_watch;
  return watch == nullptr ? 0 : watch->before(name, at);
}

int fail(int error) {
  errno = error;
  return -1;
}

void note_opened(int fd, const char* path) {
  CallWatch* watch = the_watch;
  if (watch != nullptr && fd >= 0) watch->opened(fd, path);
}

}  // namespace
}  // namespace trireme::testing

using trireme::testing::error_before, trireme::testing::fail, trireme::testing::kShort, trireme::testing::library,
    trireme::testing::note_opened;

#define LIBRARY(function) static auto* const real = library(&::function, #function)

extern "C" {

int open(const char* path, int flags, ...) {
  LIBRARY(open);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (const int error = error_before("open", std::string(path))) return fail(error);
  const int fd = real(path, flags, mode);
  note_opened(fd, path);
  return fd;
}

int openat(int folder, const char* path, int flags, ...) {
  LIBRARY(openat);
  if (const int error = error_before("openat", std::string(path))) return fail(error);
  const int fd = real(folder, path, flags);
  note_opened(fd, path);
  return fd;
}

ssize_t write(int fd, const void* bytes, size_t size) {
  LIBRARY(write);
  const int error = error_before("write", fd);
  if (error > 0) return fail(error);
  return real(fd, bytes, error == kShort ? (size + 1) / 2 : size);
}

ssize_t read(int fd, void* bytes, size_t size) {
  LIBRARY(read);
  const int error = error_before("read", fd);
  if (error > 0) return fail(error);
  return real(fd, bytes, error == kShort ? (size + 1) / 2 : size);
}

int fsync(int fd) {
  LIBRARY(fsync);
  if (const int error = error_before("fsync", fd)) return fail(error);
  return real(fd);
}

int close(int fd) {  // closes in any case
  LIBRARY(close);
  const int error = error_before("close", fd);
  const int result = real(fd);
  return error != 0 ? fail(error) : result;
}

int rename(const char* from, const char* to) noexcept {
  LIBRARY(rename);
  if (const int error = error_before("rename", std::string(to))) return fail(error);
  return real(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  LIBRARY(mkdir);
  if (const int error = error_before("mkdir", std::string(path))) return fail(error);
  return real(path, mode);
}

int remove(const char* path) noexcept {
  LIBRARY(remove);
  if (const int error = error_before("remove", std::string(path))) return fail(error);
  return real(path);
}

int statvfs(const char* path, struct statvfs* out) noexcept {
  static auto* const real = reinterpret_cast<int (*)(const char*, struct statvfs*)>(dlsym(RTLD_NEXT, "statvfs"));
  if (const int error = error_before("statvfs", std::string(path))) return fail(error);
  return real(path, out);
}

int stat(const char* path, struct stat* out) noexcept {
  static auto* const real = reinterpret_cast<int (*)(const char*, struct stat*)>(dlsym(RTLD_NEXT, "stat"));
  if (const int error = error_before("stat", std::string(path))) return fail(error);
  return real(path, out);
}

int lstat(const char* path, struct stat* out) noexcept {
  LIBRARY(lstat);
  if (const int error = error_before("lstat", std::string(path))) return fail(error);
  return real(path, out);
}

int fstat(int fd, struct stat* out) noexcept {
  LIBRARY(fstat);
  if (const int error = error_before("fstat", fd)) return fail(error);
  return real(fd, out);
}

dirent* readdir(DIR* folder) {
  LIBRARY(readdir);
  if (const int error = error_before("readdir", dirfd(folder))) {
    errno = error;
    return nullptr;
  }
  return real(folder);
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  LIBRARY(mmap);
  if (fd >= 0)
    if (const int error = error_before("mmap", fd)) {
      errno = error;
      return MAP_FAILED;
    }
  return real(at, size, protection, flags, fd, offset);
}

}  // extern "C"
