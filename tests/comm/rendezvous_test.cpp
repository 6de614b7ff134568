#include "comm/rendezvous.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "comm/process_ranks.h"

namespace trireme {
namespace {

using testing::world_options;

std::string error_of(const WorldOptions& options) {
  try {
    rendezvous(options, {});
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

/// Rank 0 in a thread of its own; what it throws.
class RankZero {
 public:
  explicit RankZero(WorldOptions options) : thread_([this, o = std::move(options)] { error_ = error_of(o); }) {}
  std::string error() {
    thread_.join();
    return error_;
  }

 private:
  std::string error_;
  std::thread thread_;
};

TEST(Rendezvous, AHostIsKnownByItsBootAndItsProcesses) {
  const std::string host = host_identity();
  EXPECT_EQ(host.find(' '), 36u) << host;  // a UUID
  EXPECT_NE(host.find("pid:["), std::string::npos) << host;
  EXPECT_LT(host.size(), sizeof Card().host);
}

TEST(Rendezvous, MissingRanksAreNamed) {
  WorldOptions zero = world_options(0, 4, testing::free_port()), two = world_options(2, 4, zero.place.master_port);
  zero.timeout_seconds = 0.5;
  RankZero rank0(zero);
  const std::string told = error_of(two);
  EXPECT_NE(told.find("rank 2: rendezvous with rank 0 at 127.0.0.1:"), std::string::npos) << told;
  const std::string error = rank0.error();
  EXPECT_NE(error.find("2 of 4 ranks are missing: 1 and 3"), std::string::npos) << error;
}

TEST(Rendezvous, AnAddressWhereNobodyListensIsNamed) {
  WorldOptions one = world_options(1, 2, testing::free_port());
  one.timeout_seconds = 0.3;
  const std::string error = error_of(one);
  EXPECT_NE(error.find(cat("rank 1: rendezvous with rank 0 at 127.0.0.1:", one.place.master_port)), std::string::npos);
  EXPECT_NE(error.find("Connection refused"), std::string::npos) << error;
}

TEST(Rendezvous, AStrangerWithoutTheSecretIsNotCounted) {
  WorldOptions zero = world_options(0, 2, testing::free_port()), one = world_options(1, 2, zero.place.master_port);
  zero.timeout_seconds = 0.5;
  one.secret = "guessed";
  RankZero rank0(zero);
  EXPECT_NE(error_of(one).find("rank 1: rendezvous with rank 0"), std::string::npos);
  EXPECT_NE(rank0.error().find("missing: 1"), std::string::npos);
}

TEST(Rendezvous, SilentAndNoisyStrangersHoldNobodyUp) {
  const int port = testing::free_port();
  std::atomic<bool> met{false};
  std::thread zero([&] {
    ProcessWorld world(world_options(0, 2, port));
    world.group({0, 1})->barrier();
    met = true;
  });
  std::vector<Fd> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(connect_to("127.0.0.1", port, after(5)));
    const std::string noise(i % 2 == 0 ? 0 : 5000, 'x');
    try {
      send_all(strangers.back(), std::as_bytes(std::span(noise)), after(1));
    } catch (const IoError&) {  // it hung up, as it should
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  {
    ProcessWorld world(world_options(1, 2, port));
    world.group({0, 1})->barrier();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
  zero.join();
  EXPECT_TRUE(met);
}

TEST(Rendezvous, TwoOfOneRankAndAnotherWorldSizeAreRefused) {
  {
    const int port = testing::free_port();
    RankZero rank0(world_options(0, 3, port));
    RankZero one(world_options(1, 3, port)), again(world_options(1, 3, port));
    EXPECT_NE(rank0.error().find("two processes came as rank 1"), std::string::npos);
    one.error();
    again.error();
  }
  const int port = testing::free_port();
  RankZero rank0(world_options(0, 3, port)), other(world_options(1, 2, port));
  const std::string error = rank0.error();
  EXPECT_NE(error.find("came as rank 1 of 2, but WORLD_SIZE is 3"), std::string::npos) << error;
  other.error();
}

}  // namespace
}  // namespace trireme
