#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>

#include "comm/local.h"
#include "comm/process_ranks.h"

namespace trireme {
namespace {

using testing::run_process_ranks;

template <class T>
Tensor view(std::vector<T>& v) {
  return {v.data(), sizeof(T) == 4 ? DType::f32 : DType::f64, kCpu, {static_cast<int64_t>(v.size())}};
}

/// Values whose sum depends on the order of adding.
template <class T>
std::vector<T> values(int rank, size_t n) {
  std::vector<T> v(n);
  for (size_t i = 0; i < n; ++i)
    v[i] = static_cast<T>(std::sin(static_cast<double>(i * 7 + static_cast<size_t>(rank) * 13 + 1)) *
                          std::pow(10.0, static_cast<double>((i + static_cast<size_t>(rank)) % 9) - 4));
  return v;
}

constexpr size_t kSizes[] = {1, 3, 1000, 4097, 200001};

/// Everything that collectives give this rank, one after the other.
std::vector<double> all_collectives(Group& group) {
  std::vector<double> results;
  const auto keep = [&](const auto& v) { results.insert(results.end(), v.begin(), v.end()); };
  const auto size = static_cast<size_t>(group.size());
  for (const size_t n : kSizes) {
    std::vector<float> sum = values<float>(group.rank(), n), largest = sum, part(n), all(n * size);
    std::vector<float> wide = values<float>(group.rank() + 100, n * size);
    std::vector<double> exact = values<double>(group.rank(), n);
    group.all_gather(view(all), view(sum));
    keep(all);
    group.all_reduce(view(sum), ReduceOp::sum);
    keep(sum);
    group.all_reduce(view(largest), ReduceOp::max);
    keep(largest);
    group.all_reduce(view(exact), ReduceOp::sum);
    keep(exact);
    group.reduce_scatter(view(part), view(wide));
    keep(part);
    group.reduce_scatter(
        view(wide).slice(0, group.rank() * static_cast<int64_t>(n), (group.rank() + 1) * static_cast<int64_t>(n)),
        view(wide));
    keep(std::vector<float>(wide.begin() + static_cast<std::ptrdiff_t>(n * static_cast<size_t>(group.rank())),
                            wide.begin() + static_cast<std::ptrdiff_t>(n * (static_cast<size_t>(group.rank()) + 1))));
    std::vector<float> shared = values<float>(group.rank(), n);
    group.broadcast(view(shared), group.size() - 1);
    keep(shared);
    group.barrier();
  }
  results.push_back(group.all_reduce(0.1 * group.rank(), ReduceOp::sum));
  return results;
}

std::vector<std::vector<double>> of_thread_ranks(int size) {
  std::vector<std::vector<double>> results(static_cast<size_t>(size));
  run_local_ranks({.dp = size},
                  [&](int rank, const Groups& g) { results[static_cast<size_t>(rank)] = all_collectives(*g.world); });
  return results;
}

std::vector<std::vector<double>> of_process_ranks(const std::vector<std::string>& hosts) {
  std::vector<std::vector<double>> results(hosts.size());
  run_process_ranks(hosts, [&](ProcessWorld& world) {
    results[static_cast<size_t>(world.rank())] = all_collectives(*world.group(testing::everyone(world)));
  });
  return results;
}

TEST(ProcessGroup, CollectivesThroughSharedMemoryGiveTheBitsOfThreadRanks) {
  for (const int size : {2, 3, 4})
    EXPECT_EQ(of_process_ranks(std::vector<std::string>(static_cast<size_t>(size), "a")), of_thread_ranks(size));
}

TEST(ProcessGroup, CollectivesBetweenHostsGiveTheBitsOfThreadRanks) {
  EXPECT_EQ(of_process_ranks({"a", "b"}), of_thread_ranks(2));
  EXPECT_EQ(of_process_ranks({"a", "b", "c"}), of_thread_ranks(3));
  EXPECT_EQ(of_process_ranks({"a", "b", "a", "b"}), of_thread_ranks(4));
}

TEST(ProcessGroup, MessagesLargerThanARingCrossEachOtherInOrder) {
  for (const std::vector<std::string>& hosts : {std::vector<std::string>{"a", "a"}, {"a", "b"}})
    run_process_ranks(hosts, [&](ProcessWorld& world) {
      const auto group = world.group({0, 1});
      const int other = 1 - world.rank();
      const size_t n = 3 * kRingBytes / sizeof(float);
      for (int i = 0; i < 4; ++i) {
        std::vector<float> mine = values<float>(world.rank() + 2 * i, n), theirs(n), small = {static_cast<float>(i)};
        group->send(view(mine), other);  // both send before either receives
        group->send(view(small), other);
        group->barrier();  // not mixed up with messages
        group->recv(view(theirs), other);
        EXPECT_EQ(theirs, values<float>(other + 2 * i, n));
        small[0] = -1;
        group->recv(view(small), other);
        EXPECT_EQ(small[0], static_cast<float>(i));
      }
    });
}

TEST(ProcessGroup, ARankThatSendsToOneThatWaitsForAThirdIsNotHeldUpForEver) {
  run_process_ranks({"a", "a", "a"}, [&](ProcessWorld& world) {
    const auto group = world.group({0, 1, 2});
    std::vector<float> large(3 * kRingBytes / sizeof(float), 1.0F), small(1);
    if (world.rank() == 0) {
      group->send(view(large), 1);
      group->send(view(small), 2);
    } else if (world.rank() == 1) {
      group->recv(view(small), 2);
      group->recv(view(large), 0);
    } else {
      group->recv(view(small), 0);
      group->send(view(small), 1);
    }
  });
}

TEST(ProcessGroup, TwoThreadsMayWorkInDifferentGroups) {
  for (const std::vector<std::string>& hosts : {std::vector<std::string>{"a", "a"}, {"a", "b"}})
    run_process_ranks(hosts, [&](ProcessWorld& world) {
      const auto one = world.group({0, 1}), two = world.group({0, 1});
      const auto work = [&](Group& group, int round) {
        for (int i = 0; i < 50; ++i) {
          std::vector<float> x(static_cast<size_t>(1 + 997 * i), static_cast<float>(round)), y = x;
          if (world.rank() == 0) group.send(view(x), 1);
          if (world.rank() == 1) group.recv(view(y), 0);
          EXPECT_EQ(x, y);
          group.all_reduce(view(x), ReduceOp::sum);
          EXPECT_EQ(x.back(), static_cast<float>(2 * round));
        }
      };
      std::thread other([&] { work(*two, 7); });
      work(*one, 3);
      other.join();
    });
}

TEST(ProcessGroup, AMessageOfTheWrongSizeIsABug) {
  EXPECT_THROW(run_process_ranks({"a", "a"},
                                 [](ProcessWorld& world) {
                                   const auto group = world.group({0, 1});
                                   std::vector<float> x(static_cast<size_t>(world.rank() + 1));
                                   if (world.rank() == 0) {
                                     group->send(view(x), 1);
                                     group->barrier();
                                   } else {
                                     group->recv(view(x), 0);
                                   }
                                 }),
               Bug);
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(ProcessGroup, AFailingRankEndsTheOthersWithItsReason) {
  for (const std::vector<std::string>& hosts : {std::vector<std::string>{"a", "a", "a"}, {"a", "b", "c"}})
    for (const int failing : {0, 1}) {
      std::atomic<int> told{0};
      EXPECT_THROW(run_process_ranks(hosts,
                                     [&](ProcessWorld& world) {
                                       const auto group = world.group({0, 1, 2});
                                       if (world.rank() == failing) throw IoError("disk gone");
                                       const std::string why = error_of([&] { group->barrier(); });
                                       EXPECT_NE(why.find(cat("rank ", failing, " (pid ")), std::string::npos) << why;
                                       EXPECT_NE(why.find("failed: disk gone"), std::string::npos) << why;
                                       ++told;
                                       group->barrier();
                                     }),
                   IoError);
      EXPECT_EQ(told, 2);
    }
}

TEST(ProcessGroup, ADeadRankEndsTheOthersWithinASecond) {
  using Clock = std::chrono::steady_clock;
  for (const bool one_host : {true, false})
    for (const int dead : {0, 1}) {
      SCOPED_TRACE(cat("rank ", dead, one_host ? ", one host" : ", two hosts"));
      const int port = testing::free_port();
      const auto body = [&](ProcessWorld& world) {
        const auto group = world.group({0, 1, 2});
        group->barrier();
        if (world.rank() == dead) raise(SIGKILL);
        group->barrier();
      };
      const auto options = [&](int rank) {
        WorldOptions o = testing::world_options(rank, 3, port);
        o.host = one_host ? "" : cat("host ", rank);
        return o;
      };
      testing::ForkedRank zero(options(0), body), one(options(1), body), two(options(2), body);
      const pid_t dead_pid = dead == 0 ? zero.pid() : one.pid();
      EXPECT_EQ((dead == 0 ? zero : one).wait(), -SIGKILL);
      const Clock::time_point begin = Clock::now();
      EXPECT_EQ(two.wait(), 1);
      EXPECT_EQ((dead == 0 ? one : zero).wait(), 1);
      EXPECT_LT(Clock::now() - begin, std::chrono::seconds(1));
      EXPECT_NE(two.error().find(cat("rank ", dead, " (pid ", dead_pid)), std::string::npos) << two.error();
      EXPECT_NE(two.error().find("died"), std::string::npos) << two.error();
    }
}

TEST(ProcessGroup, AGroupForFilesWaitsAsLongAsADiskTakes) {
  const int port = testing::free_port();
  std::thread other([&] {
    ProcessWorld world(testing::world_options(1, 2, port));
    const auto group = world.group({0, 1}, Waits::endless);
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    group->barrier();
  });
  WorldOptions options = testing::world_options(0, 2, port);
  options.wait_seconds = 0.2;
  {
    ProcessWorld world(options);
    const auto group = world.group({0, 1}, Waits::endless);
    EXPECT_NO_THROW(group->barrier());
  }
  other.join();
}

TEST(ProcessGroup, AWaitThatIsTooLongNamesTheRankAndTheCall) {
  std::string why;
  const int port = testing::free_port();
  std::thread other([&] {
    ProcessWorld world(testing::world_options(1, 2, port));
    const auto group = world.group({0, 1});
    group->barrier();
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    error_of([&] { group->barrier(); });
  });
  WorldOptions options = testing::world_options(0, 2, port);
  options.wait_seconds = 0.2;
  {
    ProcessWorld world(options);
    const auto group = world.group({0, 1});
    group->barrier();
    why = error_of([&] { group->barrier(); });
    world.fail(why);
  }
  other.join();
  EXPECT_NE(why.find("rank 0 has waited 0.2 s for rank 1 (pid "), std::string::npos) << why;
  EXPECT_NE(why.find("in barrier"), std::string::npos) << why;
}

}  // namespace
}  // namespace trireme
