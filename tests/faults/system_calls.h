// The system calls by which this program reaches files, made to fail: functions of the same names stand before those of
// the C library (interposed_calls.cpp) and ask the one watch there is what to do. Nothing in src/ knows of it, so it is
// the real file system, with its loops and messages, that is tested.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace trireme::testing {

/// A call by what it is, not by when: ranks and threads make their calls in any order. The random words in names of
/// checkpoints are left out.
struct SystemCall {
  std::string name, path;
  int pass = 0;  // how many like it came before
  bool operator==(const SystemCall&) const = default;
};

/// In place of an error: read and write do a part of what they were asked for.
constexpr int kShort = -1;

/// Errors that the manual pages of Linux give for a call on files, and kShort.
const std::vector<int>& errors_of(const std::string& call);
std::string error_name(int error);

/// While it lives, all calls on files in `root` are listed. One at a time.
class CallWatch {
 public:
  explicit CallWatch(std::string root);
  /// The same, and the call `fails` ends with `error`.
  CallWatch(std::string root, SystemCall fails, int error);
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  std::vector<SystemCall> calls() const;
  bool failed() const;                                             // the call has come
  const std::string& failed_path() const { return failed_path_; }  // with its random words

  /// The one that lives.
  static std::atomic<CallWatch*> now;

  /// For interposed_calls.cpp: notes the call; its error, 0 where it is to be made.
  int before(const char* name, const std::string& path);
  int before(const char* name, int fd);
  void opened(int fd, const std::string& path);

 private:
  std::string root_;
  SystemCall fails_;
  int error_ = 0;
  mutable std::mutex mutex_;
  bool failed_ = false;
  std::string failed_path_;
  std::vector<SystemCall> calls_;
  std::map<std::pair<std::string, std::string>, int> passes_;
  std::map<int, std::string> paths_;  // of open files
};

}  // namespace trireme::testing
