// Ranks of a ProcessWorld in one test: each a thread, or a real process where one has to die.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <functional>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "comm/process_world.h"
#include "support/temp_dir.h"

namespace trireme::testing {

inline int free_port() { return port_of(listen_on("127.0.0.1", 0)); }

inline WorldOptions world_options(int rank, int size, int port) {
  WorldOptions options;
  options.place = {rank, size, rank, size, "127.0.0.1", port};
  options.secret = "of this test";
  options.timeout_seconds = 20;
  return options;
}

/// Rank r runs body(world) in a thread; ranks of equal names in `hosts` share memory. Rethrows the first error that is
/// not the echo of another rank's.
inline void run_process_ranks(const std::vector<std::string>& hosts, const std::function<void(ProcessWorld&)>& body) {
  const int port = free_port(), size = static_cast<int>(hosts.size());
  std::vector<std::exception_ptr> errors(hosts.size());
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      try {
        WorldOptions options = world_options(r, size, port);
        options.host = hosts[static_cast<size_t>(r)];
        ProcessWorld world(options);
        try {
          body(world);
        } catch (const std::exception& e) {
          world.fail(e.what());
          throw;
        }
      } catch (...) {
        errors[static_cast<size_t>(r)] = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  std::exception_ptr echo;
  for (const std::exception_ptr& error : errors) {
    if (!error) continue;
    try {
      std::rethrow_exception(error);
    } catch (const PeerError&) {
      echo = error;
    }
  }
  if (echo) std::rethrow_exception(echo);
}

inline std::vector<int> everyone(const ProcessWorld& world) {
  std::vector<int> ranks(static_cast<size_t>(world.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

/// A forked rank; what its body throws can be read when it has ended.
class ForkedRank {
 public:
  ForkedRank(const WorldOptions& options, const std::function<void(ProcessWorld&)>& body) : pid_(fork()) {
    if (pid_ != 0) return;
    alarm(60);
    int code = 0;
    try {
      ProcessWorld world(options);
      body(world);
    } catch (const std::exception& e) {
      write_file(dir_.path("error"), e.what());
      code = 1;
    }
    _exit(code);
  }
  ~ForkedRank() {
    if (pid_ > 0) {
      kill(SIGKILL);
      wait();
    }
  }
  ForkedRank(const ForkedRank&) = delete;
  ForkedRank& operator=(const ForkedRank&) = delete;

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }
  /// Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string error() const { return read_file(dir_.path("error")); }

 private:
  TempDir dir_;
  pid_t pid_;
};

}  // namespace trireme::testing
