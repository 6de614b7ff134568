// Runs the built program as a child process, for tests that need signals, limits or a death.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "support/temp_dir.h"

namespace trireme::testing {

struct ChildOptions {
  std::vector<std::string> environment = {};  // NAME=VALUE, before the test's own of that name
  uint64_t file_size_limit = 0;               // bytes a file may have: a full disk; 0: no limit
};

class Child {
 public:
  explicit Child(const std::vector<std::string>& words, const ChildOptions& options = {}) {
    const std::string out = dir_.path("out"), err = dir_.path("err");
    std::vector<char*> arguments = {const_cast<char*>(TRIREME_BINARY)}, environment;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    for (const std::string& entry : options.environment) environment.push_back(const_cast<char*>(entry.c_str()));
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view name(*entry, strcspn(*entry, "=") + 1);
      if (std::none_of(options.environment.begin(), options.environment.end(),
                       [&](const std::string& mine) { return mine.starts_with(name); }))
        environment.push_back(*entry);
    }
    environment.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    if (options.file_size_limit > 0) {
      const rlimit limit{options.file_size_limit, options.file_size_limit};
      setrlimit(RLIMIT_FSIZE, &limit);
      signal(SIGXFSZ, SIG_IGN);  // the write fails instead
    }
    alarm(kLongestSeconds);  // no test waits for ever
    execve(TRIREME_BINARY, arguments.data(), environment.data());
    _exit(127);
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }

  /// Whether it has not ended yet.
  bool running() const {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }

  /// Until it has stopped itself; false where it ended instead.
  bool wait_stopped() {
    int status = 0;
    waitpid(pid_, &status, WUNTRACED);
    if (WIFSTOPPED(status)) return true;
    pid_ = -1;
    return false;
  }

  /// Until it ends: its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string out() const { return read_file(dir_.path("out")); }
  std::string err() const { return read_file(dir_.path("err")); }

 private:
  static constexpr unsigned kLongestSeconds = 600;
  TempDir dir_;
  pid_t pid_ = -1;
};

}  // namespace trireme::testing
