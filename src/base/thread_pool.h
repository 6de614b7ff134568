// A fixed team of threads for parallel loops. A call allocates nothing; waiting threads spin
// briefly, then sleep. One thread at a time may submit work; the submitting thread takes part.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace trireme {

/// A reference to a callable, valid only during the call it is passed to. Never owns, never allocates.
template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(google-explicit-constructor): it stands in for the callable
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

class ThreadPool {
 public:
  /// A team of `num_threads` including the caller; 0 means one per available core.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls fn(begin, end, thread) on parts of [0, n), each a multiple of `grain` long (but the last),
  /// with 0 <= thread < size(). Parts are fixed by n, grain and size() only: thread t gets the t-th
  /// contiguous part, so results that depend on the split are repeatable. Returns when all are done;
  /// the first exception is rethrown. A call from inside a task runs serially.
  void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn);

  /// Like parallel_for, but parts of `grain` items are taken by whichever thread is free: for uneven
  /// work whose result does not depend on who does it.
  void parallel_for_dynamic(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn);

 private:
  struct Job;
  void run(Job& job);
  void work(Job& job, int thread) noexcept;
  void worker(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
  Job* job_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

/// Number of cores this process may use (affinity mask, cgroup quota).
int available_cores();

}  // namespace trireme
