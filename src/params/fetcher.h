// Gathers the parameters of the next unit while the step computes with this one: a thread with a group of its own.
#pragma once

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "comm/group.h"

namespace trireme {

class Fetcher {
 public:
  /// `ranks` is used by the fetching thread alone.
  explicit Fetcher(Group& ranks);
  /// A gather that is under way is waited for: every other rank takes part in it too, or fails and says so.
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  /// `whole` = the ranks' parts, some time before the next wait() returns. All ranks start the same in the same order,
  /// at most kMost between two waits. Allocates nothing.
  void start(const Tensor& whole, const Tensor& part);
  /// Returns when all that was started is there; rethrows what went wrong with it.
  void wait();

  static constexpr size_t kMost = 4;

 private:
  struct Job {
    Tensor whole, part;
  };
  void run();

  Group& ranks_;
  std::mutex mutex_;
  std::condition_variable more_, done_;
  std::array<Job, kMost> jobs_;
  size_t next_ = 0, count_ = 0;  // of jobs_, in a ring
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace trireme
