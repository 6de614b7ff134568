#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/numeric.h"
#include "base/thread.h"

namespace trireme {
namespace {

// About 20 to 50 microseconds: longer than the gap between two ops of a step, shorter than a
// scheduler slice, so that a shared machine is not starved.
constexpr int kSpins = 4000;

thread_local bool inside_task = false;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

struct ThreadPool::Job {
  FunctionRef<void(int64_t, int64_t, int)> fn;
  int64_t n;
  int64_t grain;
  bool dynamic;
  int team;
  std::atomic<int64_t> next{0};
};

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    char quota[32] = {};
    long long period = 0;
    if (std::fscanf(f, "%31s %lld", quota, &period) == 2 && std::strcmp(quota, "max") != 0 && period > 0)
      cores = std::min<int>(cores, static_cast<int>(std::max(1LL, std::atoll(quota) / period)));
    std::fclose(f);
  }
  return std::max(cores, 1);
}

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads <= 0) num_threads = available_cores();
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int t = 1; t < num_threads; ++t) workers_.push_back(start_thread([this, t] { worker(t); }));
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::work(Job& job, int thread) noexcept {
  inside_task = true;
  try {
    if (job.dynamic) {
      for (;;) {
        const int64_t begin = job.next.fetch_add(job.grain, std::memory_order_relaxed);
        if (begin >= job.n) break;
        job.fn(begin, std::min(begin + job.grain, job.n), thread);
      }
    } else {
      const int64_t grains = ceil_div(job.n, job.grain);
      const int64_t begin = part_begin(grains, job.team, thread) * job.grain;
      const int64_t end = std::min(part_begin(grains, job.team, thread + 1) * job.grain, job.n);
      if (begin < end) job.fn(begin, end, thread);
    }
  } catch (...) {
    std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
  inside_task = false;
}

void ThreadPool::worker(int thread) {
  uint64_t seen = 0;
  for (;;) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        relax();
        continue;
      }
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    work(*job_, thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::run(Job& job) {
  if (job.n <= 0) return;
  if (inside_task || workers_.empty() || job.n <= job.grain) {
    // Same callable, whole range: no part of the contract depends on the number of calls.
    job.fn(0, job.n, 0);
    return;
  }
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    job_ = &job;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(job, 0);
  for (int spins = 0; busy_.load(std::memory_order_acquire) != 0;) {
    if (++spins < kSpins)
      relax();
    else
      std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn) {
  Job job{fn, n, std::max<int64_t>(grain, 1), false, size()};
  run(job);
}

void ThreadPool::parallel_for_dynamic(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> fn) {
  Job job{fn, n, std::max<int64_t>(grain, 1), true, size()};
  run(job);
}

}  // namespace trireme
