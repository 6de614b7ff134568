#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

#include "support/allocations.h"

namespace trireme {
namespace {

struct Part {
  int64_t begin, end;
  int thread;
  bool operator==(const Part&) const = default;
};

std::vector<Part> parts_of(ThreadPool& pool, int64_t n, int64_t grain) {
  std::mutex mutex;
  std::vector<Part> parts;
  pool.parallel_for(n, grain, [&](int64_t begin, int64_t end, int thread) {
    std::lock_guard lock(mutex);
    parts.push_back({begin, end, thread});
  });
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
  return parts;
}

TEST(ThreadPool, CoversEveryIndexOnceInPartsOfWholeGrains) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t n : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64}) {
        const std::vector<Part> parts = parts_of(pool, n, grain);
        int64_t next = 0;
        int last_thread = -1;
        for (const Part& p : parts) {
          EXPECT_EQ(p.begin, next);
          EXPECT_LT(p.begin, p.end);
          EXPECT_EQ(p.begin % grain, 0);
          EXPECT_GT(p.thread, last_thread);  // contiguous parts in the order of threads
          EXPECT_LT(p.thread, threads);
          last_thread = p.thread;
          next = p.end;
        }
        EXPECT_EQ(next, n);
        EXPECT_EQ(parts, parts_of(pool, n, grain));
      }
    }
  }
}

TEST(ThreadPool, DynamicLoopsCoverEveryIndexOnce) {
  ThreadPool pool(3);
  for (const int64_t n : {0, 1, 10, 1001}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
    pool.parallel_for_dynamic(n, 4, [&](int64_t begin, int64_t end, int thread) {
      EXPECT_TRUE(thread >= 0 && thread < 3);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (const auto& count : seen) EXPECT_EQ(count, 1);
  }
}

TEST(ThreadPool, RethrowsAndWorksOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.parallel_for(3, 1,
                                   [](int64_t begin, int64_t, int) {
                                     if (begin == 2) throw std::out_of_range("third");
                                   }),
                 std::out_of_range);
    EXPECT_THROW(pool.parallel_for(3, 1, [](int64_t, int64_t, int) { throw std::runtime_error("all"); }),
                 std::runtime_error);
    EXPECT_EQ(parts_of(pool, 3, 1).size(), 3u);
  }
}

TEST(ThreadPool, NestedCallsRunSerially) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(3, 1, [&](int64_t, int64_t, int) {
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t end, int) {
      EXPECT_EQ(end - begin, 100);
      sum += end - begin;
    });
  });
  EXPECT_EQ(sum, 300);
}

TEST(ThreadPool, ACallAllocatesNothing) {
  ThreadPool pool(3);
  std::array<int64_t, 3> sums{};
  const auto work = [&](int64_t begin, int64_t end, int thread) { sums[static_cast<size_t>(thread)] += end - begin; };
  pool.parallel_for(1000, 1, work);
  const int64_t before = testing::num_allocations();
  for (int i = 0; i < 100; ++i) {
    pool.parallel_for(1000, 1, work);
    pool.parallel_for_dynamic(1000, 10, work);
  }
  EXPECT_EQ(testing::num_allocations(), before);
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 201'000);
  const auto* probe = new std::vector<int>(3);  // the counter does count
  EXPECT_GE(testing::num_allocations(), before + 2);
  delete probe;
}

TEST(ThreadPool, ManySmallJobsAfterPausesAllFinish) {  // workers asleep, spinning and just done
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 2000; ++i) {
    if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.parallel_for(4, 1, [&](int64_t begin, int64_t end, int) { sum += end - begin; });
  }
  EXPECT_EQ(sum, 8000);
}

TEST(ThreadPool, DefaultsToTheAvailableCores) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_EQ(ThreadPool(0).size(), available_cores());
}

}  // namespace
}  // namespace trireme
