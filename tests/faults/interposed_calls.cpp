// Functions of the C library's names, which stand before its own: every system call on files asks CallWatch::now first.
// Libraries' constructors call them before a sanitizer has begun, so this file is compiled without the thread
// sanitizer's instructions (tests/CMakeLists.txt) and keeps no static that needs a guard.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "faults/system_calls.h"

namespace trireme::testing {
namespace {

/// The C library's function.
template <class Function>
Function* library(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// 0, or the error with which the call is to end.
template <class PathOrFd>
int error_before(const char* name, PathOrFd at) {
  CallWatch* watch = CallWatch::now;
  return watch == nullptr ? 0 : watch->before(name, at);
}

int fail(int error) {
  errno = error;
  return -1;
}

void note_opened(int fd, const char* path) {
  CallWatch* watch = CallWatch::now;
  if (watch != nullptr && fd >= 0) watch->opened(fd, path);
}

}  // namespace
}  // namespace trireme::testing

using trireme::testing::error_before, trireme::testing::fail, trireme::testing::kShort, trireme::testing::library,
    trireme::testing::note_opened;

#define LIBRARY(function) auto* const real = library(&::function, #function)

extern "C" {

int open(const char* path, int flags, ...) {
  LIBRARY(open);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (const int error = error_before("open", path)) return fail(error);
  const int fd = real(path, flags, mode);
  note_opened(fd, path);
  return fd;
}

int openat(int folder, const char* path, int flags, ...) {
  LIBRARY(openat);
  if (const int error = error_before("openat", path)) return fail(error);
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
  if (const int error = error_before("mkdir", path)) return fail(error);
  return real(path, mode);
}

int remove(const char* path) noexcept {
  LIBRARY(remove);
  if (const int error = error_before("remove", path)) return fail(error);
  return real(path);
}

int statvfs(const char* path, struct statvfs* out) noexcept {
  auto* const real = reinterpret_cast<int (*)(const char*, struct statvfs*)>(dlsym(RTLD_NEXT, "statvfs"));
  if (const int error = error_before("statvfs", path)) return fail(error);
  return real(path, out);
}

int stat(const char* path, struct stat* out) noexcept {
  auto* const real = reinterpret_cast<int (*)(const char*, struct stat*)>(dlsym(RTLD_NEXT, "stat"));
  if (const int error = error_before("stat", path)) return fail(error);
  return real(path, out);
}

int lstat(const char* path, struct stat* out) noexcept {
  LIBRARY(lstat);
  if (const int error = error_before("lstat", path)) return fail(error);
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
