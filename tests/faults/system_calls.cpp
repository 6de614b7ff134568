#include "faults/system_calls.h"

#include <atomic>
#include <cerrno>
#include <cstring>

namespace trireme::testing {

std::atomic<CallWatch*> CallWatch::now{nullptr};

namespace {

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
  now = this;
}

CallWatch::~CallWatch() { now = nullptr; }

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

}  // namespace trireme::testing
