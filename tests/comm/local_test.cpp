#include "comm/local.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace trireme {
namespace {

Tensor view(std::vector<float>& v) { return {v.data(), DType::f32, kCpu, {static_cast<int64_t>(v.size())}}; }

TEST(Mesh, EveryRankHasItsPlaceAndPeers) {
  const Mesh mesh{.pp = 2, .dp = 3, .cp = 1, .tp = 2};
  EXPECT_EQ(mesh.world_size(), 12);
  EXPECT_EQ(mesh.peers(Axis::tensor, 5), (std::vector<int>{4, 5}));
  EXPECT_EQ(mesh.peers(Axis::data, 5), (std::vector<int>{1, 3, 5}));
  EXPECT_EQ(mesh.peers(Axis::pipeline, 5), (std::vector<int>{5, 11}));
  EXPECT_EQ(mesh.coordinate(Axis::pipeline, 11), 1);
}

TEST(LocalGroup, CollectivesGiveEveryRankTheSameBits) {
  for (const int size : {1, 2, 3, 4})
    run_local_ranks({.dp = size}, [&](int rank, const Groups& g) {
      for (const size_t n : {1U, 3U, 1000U}) {
        std::vector<float> x(n);
        for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(rank + 1) * 0.1F + static_cast<float>(i);
        std::vector<float> expected(n);
        for (int r = 0; r < size; ++r)
          for (size_t i = 0; i < n; ++i)
            expected[i] = r == 0 ? 0.1F + static_cast<float>(i)
                                 : expected[i] + (static_cast<float>(r + 1) * 0.1F + static_cast<float>(i));
        std::vector<float> sum = x;
        g.dp->all_reduce(view(sum), ReduceOp::sum);
        EXPECT_EQ(sum, expected);

        std::vector<float> all(n * static_cast<size_t>(size));
        g.dp->all_gather(view(all), view(x));
        for (int r = 0; r < size; ++r) EXPECT_EQ(all[n * static_cast<size_t>(r)], static_cast<float>(r + 1) * 0.1F);

        std::vector<float> part(n), wide(n * static_cast<size_t>(size));
        std::iota(wide.begin(), wide.end(), static_cast<float>(rank));
        g.dp->reduce_scatter(view(part), view(wide));
        const float first =
            static_cast<float>(n * static_cast<size_t>(rank * size) + static_cast<size_t>(size * (size - 1) / 2));
        EXPECT_EQ(part[0], first);

        std::vector<float> b = x;
        g.dp->broadcast(view(b), size - 1);
        EXPECT_EQ(b[0], static_cast<float>(size) * 0.1F);
      }
      EXPECT_EQ(g.dp->all_reduce(double(rank), ReduceOp::max), size - 1);
    });
}

TEST(LocalGroup, SendsArriveInOrder) {
  run_local_ranks({.pp = 2}, [](int rank, const Groups& g) {
    for (int i = 0; i < 20; ++i) {
      std::vector<float> x{static_cast<float>(i)};
      if (rank == 0) {
        g.pp->send(view(x), 1);
      } else {
        std::vector<float> y(1);
        g.pp->recv(view(y), 0);
        EXPECT_EQ(y, x);
      }
    }
  });
}

TEST(LocalGroup, AFailingRankEndsTheOthers) {
  std::atomic<int> ended{0};
  EXPECT_THROW(run_local_ranks({.dp = 3},
                               [&](int rank, const Groups& g) {
                                 if (rank == 1) throw IoError("disk gone");
                                 try {
                                   g.dp->barrier();
                                   g.dp->barrier();
                                 } catch (const DeviceError&) {
                                   ++ended;
                                   throw;
                                 }
                               }),
               Error);
  EXPECT_EQ(ended, 2);
}

TEST(LocalGroup, AMessageOfTheWrongSizeIsABug) {
  EXPECT_THROW(run_local_ranks({.pp = 2},
                               [](int rank, const Groups& g) {
                                 std::vector<float> x(static_cast<size_t>(rank + 1));
                                 if (rank == 0)
                                   g.pp->send(view(x), 1);
                                 else
                                   g.pp->recv(view(x), 0);
                               }),
               Bug);
}

}  // namespace
}  // namespace trireme
