// The grid over processes: groups of processes add in the order of thread ranks, so 2 and 4 of them train with the bits
// of as many threads, which grid_test.cpp holds against one rank.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "base/strings.h"
#include "comm/process_ranks.h"
#include "parity/grid.h"

namespace trireme {
namespace {

using testing::GlobalTensors, testing::GridCase, testing::Outcome;

/// What a rank knows, through a file: names, sizes, bytes.
void save(const std::string& path, const Outcome& out) {
  std::string bytes;
  const auto add = [&](const std::string& name, const auto& values) {
    bytes += cat(name, "\n", values.size(), "\n");
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]);
  };
  add("losses", out.losses);
  add("norms", out.norms);
  for (const auto& [name, values] : out.gradients) add("gradient " + name, values);
  for (const auto& [name, values] : out.weights) add("weight " + name, values);
  write_file(path, bytes);
}

/// Adds what a rank has saved: elements that it does not hold are zero there.
void join(Outcome& out, const std::string& path) {
  const std::string bytes = read_file(path);
  size_t at = 0;
  const auto line = [&] {
    const size_t begin = at, end = bytes.find('\n', at);
    at = end + 1;
    return bytes.substr(begin, end - begin);
  };
  const auto take = [&](auto& whole, size_t size) {
    using T = std::remove_reference_t<decltype(whole[0])>;
    std::vector<T> values(size);
    if (size > 0) std::memcpy(values.data(), bytes.data() + at, size * sizeof(T));
    at += size * sizeof(T);
    whole.resize(std::max(whole.size(), size));
    for (size_t i = 0; i < size; ++i)
      if (values[i] != 0) whole[i] = values[i];
  };
  while (at < bytes.size()) {
    const std::string name = line();
    const size_t size = std::stoul(line());
    if (name == "losses")
      take(out.losses, size);
    else if (name == "norms")
      take(out.norms, size);
    else if (starts_with(name, "gradient "))
      take(out.gradients[name.substr(9)], size);
    else
      take(out.weights[name.substr(7)], size);
  }
}

/// The same training over processes of this machine.
Outcome train_on_processes(const ModelConfig& model, const testing::Layout& layout, int micro_batches,
                           const testing::BatchShape& batch) {
  const testing::TempDir dir;
  const int port = testing::free_port(), size = layout.mesh.world_size();
  std::vector<std::unique_ptr<testing::ForkedRank>> ranks;
  for (int r = 0; r < size; ++r)
    ranks.push_back(
        std::make_unique<testing::ForkedRank>(testing::world_options(r, size, port), [&](ProcessWorld& world) {
          std::vector<std::unique_ptr<Group>> owned;
          const Groups groups = make_groups(layout.mesh, world.rank(), [&](const std::vector<int>& members, Channel) {
            return owned.emplace_back(world.group(members)).get();
          });
          Outcome out;
          std::mutex mutex;
          testing::train_rank(out, mutex, {model, layout, micro_batches, {}, batch}, world.rank(), groups);
          if (::testing::Test::HasFailure()) throw Bug("a check of the rank failed");
          save(dir.path(cat(world.rank())), out);
        }));
  Outcome out;
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(ranks[static_cast<size_t>(r)]->wait(), 0) << "rank " << r;
    join(out, dir.path(cat(r)));
  }
  return out;
}

TEST(ProcessGrid, TwoAndFourProcessesTrainWithTheBitsOfThreadRanks) {
  const std::vector<ModelConfig> models = testing::grid_models();
  int compared = 0, shared = 0;
  for (const GridCase& c : testing::pairwise_choice(testing::grid_cases(models))) {
    const int64_t ranks = c.parallel.world_size();
    if (ranks != 2 && ranks != 4) continue;
    SCOPED_TRACE(testing::name_of(c));
    const ModelConfig& model = models[c.model];
    const testing::Layout layout = testing::layout_of(c);
    const int micro_batches = c.accumulation * static_cast<int>(c.parallel.data);
    const testing::BatchShape batch = testing::batch_of(c.model);
    const Outcome threads = testing::train(model, layout, micro_batches, {}, batch);
    const Outcome processes = train_on_processes(model, layout, micro_batches, batch);
    EXPECT_EQ(processes.losses, threads.losses);
    EXPECT_EQ(processes.norms, threads.norms);
    EXPECT_EQ(processes.gradients, threads.gradients);
    EXPECT_EQ(processes.weights, threads.weights);
    ++compared;
    shared += c.model == testing::kSharesHeads ? 1 : 0;
  }
  std::printf("%d layouts over 2 and 4 processes: losses, norms, gradients and weights have the bits of thread ranks\n",
              compared);
  EXPECT_GE(compared, 40);
  EXPECT_GE(shared, 1);
}

}  // namespace
}  // namespace trireme
