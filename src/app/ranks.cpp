#include "app/ranks.h"

#include <cstdlib>
#include <numeric>

#include "app/commands.h"
#include "base/log.h"
#include "launch/report.h"

namespace trireme {
namespace {

std::vector<int> all_ranks(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

int threads_of(const std::optional<Launched>& launched) {
  return launched ? default_threads([](const char* name) { return std::getenv(name); },
                                    launched->world.place.local_world_size)
                  : 0;
}

}  // namespace

Ranks::Ranks(std::optional<Launched> launched) : launched_(std::move(launched)), threads_(threads_of(launched_)) {
  if (!launched_) return;
  if (rank() != 0) set_console_level(LogLevel::warn);  // what all ranks do, rank 0 tells
  try {
    world_ = std::make_unique<ProcessWorld>(launched_->world);
  } catch (const std::exception& e) {
    report_failure(rank(), e.what());
    throw;
  }
  everyone_ = world_->group(all_ranks(size()), Waits::endless);
}

void Ranks::meet() {
  if (everyone_) everyone_->barrier();
}

const Groups& Ranks::make_groups(const ParallelConfig& parallel) {
  const Mesh mesh = mesh_of(parallel);
  CHECK(mesh.world_size() == size(), "a layout of ", mesh.world_size(), " ranks on ", size());
  groups_ = trireme::make_groups(mesh, rank(), [&](const std::vector<int>& ranks, Channel channel) -> Group* {
    if (!world_) return &single_;
    const Waits waits = channel == Channel::io ? Waits::endless : Waits::limited;
    return owned_.emplace_back(world_->group(ranks, waits)).get();
  });
  return groups_;
}

int Ranks::run(const std::function<int()>& work) {
  try {
    return work();
  } catch (const PeerError& e) {
    if (rank() == 0) throw;
    log_info(e.what());  // one rank's failure is told once, not by all
    return kFailed;
  } catch (const std::exception& e) {
    fail(e.what());
    throw;
  }
}

void Ranks::fail(const std::string& why) noexcept {
  if (!world_) return;
  report_failure(rank(), why);
  world_->fail(why);
}

PlannedRanks::PlannedRanks(const ParallelConfig& parallel) {
  groups_ = make_groups(mesh_of(parallel), 0, [&](const std::vector<int>& ranks, Channel) {
    return owned_.emplace_back(std::make_unique<PlanGroup>(0, static_cast<int>(ranks.size()))).get();
  });
}

}  // namespace trireme
