#include "base/ordered_work.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"

namespace trireme {
namespace {

/// Numbers through the three stages, with items of uneven work; what was written.
std::vector<int> run(int threads, int slots, int count, int bad_read = -1, int bad_work = -1, int bad_write = -1) {
  ThreadPool pool(threads);
  std::vector<int> items(static_cast<size_t>(slots)), results(items.size()), written;
  std::atomic<int> reading{0}, writing{0}, under_way{0};
  int next = 0;
  const auto at = [](std::vector<int>& v, int slot) -> int& { return v[static_cast<size_t>(slot)]; };
  ordered_work(
      pool, slots,
      [&](int slot) {
        EXPECT_EQ(reading++, 0);
        if (next == bad_read) throw IoError("read");
        const bool more = next < count;
        if (more) {
          EXPECT_LE(++under_way, slots);
          at(items, slot) = next++;
        }
        --reading;
        return more;
      },
      [&](int slot, int thread) {
        EXPECT_TRUE(thread >= 0 && thread < threads);
        if (at(items, slot) % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
        if (at(items, slot) == bad_work) throw IoError("work");
        at(results, slot) = 2 * at(items, slot);
      },
      [&](int slot) {
        EXPECT_EQ(writing++, 0);
        if (at(items, slot) == bad_write) throw IoError("write");
        written.push_back(at(results, slot));
        --under_way;
        --writing;
      });
  return written;
}

TEST(OrderedWork, WritesInTheOrderOfReading) {
  for (const int threads : {1, 2, 5}) {
    for (const int slots : {1, 2, 11}) {
      const std::vector<int> written = run(threads, slots, 300);
      ASSERT_EQ(written.size(), 300U) << threads << " threads, " << slots << " slots";
      for (size_t i = 0; i < written.size(); ++i) EXPECT_EQ(written[i], 2 * static_cast<int>(i));
    }
  }
  EXPECT_TRUE(run(3, 4, 0).empty());
}

TEST(OrderedWork, TheNextItemIsReadAndTheLastOneWrittenWhileOneIsWorkedOn) {
  ThreadPool pool(1);
  std::atomic<int> num_read{0}, num_written{0};
  int num_worked = 0;
  const auto until = [](const std::atomic<int>& count, int least) {
    for (int i = 0; i < 10000 && count < least; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GE(count, least);
  };
  ordered_work(
      pool, 3, [&](int) { return num_read++ < 5; },
      [&](int, int) {
        until(num_read, num_worked + 2);
        until(num_written, num_worked);
        ++num_worked;
      },
      [&](int) { ++num_written; });
  EXPECT_EQ(num_written, 5);
}

TEST(OrderedWork, TheFirstErrorInOrderIsTheOneThatComesOut) {
  const auto message = [](auto... bad) -> std::string {
    try {
      run(3, 7, 100, bad...);
    } catch (const IoError& error) {
      return error.what();
    }
    return "none";
  };
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(message(50, 21), "work");
    EXPECT_EQ(message(20, 21), "read");
    EXPECT_EQ(message(50, 21, 20), "write");
    EXPECT_EQ(message(0), "read");
    EXPECT_EQ(message(-1, 99), "work");
  }
}

}  // namespace
}  // namespace trireme
