// A checkpoint of every layout is loaded on every layout: all that full_grid() has over 1, 2, 4 and 8 thread ranks, all
// ordered pairs with TRIREME_LONG=1, some of them every day. The state hash must be the saved one, the loss of the next
// step that which the saving layout has.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "support/layout_grid.h"
#include "support/layout_run.h"
#include "support/temp_dir.h"
#include "train/layouts.h"
#include "train/state.h"

namespace trireme {
namespace {

using testing::GridCase, testing::TempDir;

constexpr int64_t kSamples = 1, kLength = 16;
constexpr int kMicroBatches = 8;  // of all data ranks together
constexpr double kLossBound = 64 * 0x1p-24;

/// Seven blocks for eight virtual stages; heads for 8 tensor ranks; a vocabulary that nothing divides; shared matrices.
ModelConfig grid_model() {
  ModelConfig model = ModelConfig::from_json(Json::parse(
      R"({"model_type":"gpt2","vocab_size":53,"n_embd":16,"n_layer":7,"n_head":8,"n_positions":24,"n_inner":40})",
      "model of the pairs"));
  model.resid_pdrop = model.embd_pdrop = model.attn_pdrop = 0.1;
  return model;
}

/// The grid without what a checkpoint has nothing to do with.
std::vector<ParallelConfig> layouts_of(const ModelConfig& model) {
  std::vector<ParallelConfig> layouts;
  for (const GridCase& c : testing::full_grid({model}))
    if (c.recompute == Recompute::none && c.accumulation == 1) layouts.push_back(c.parallel);
  return layouts;
}

/// One rank of a layout.
struct Rank {
  Rank(const ModelConfig& model, const ParallelConfig& p, const Groups& g) : groups(g) {
    EngineConfig config;
    config.model = model;
    config.zero_stage = static_cast<int>(p.zero_stage);
    config.sequence_parallel = p.sequence_parallel;
    config.virtual_pipeline = static_cast<int>(p.virtual_pipeline);
    config.micro_batch_size = kSamples;
    config.sequence_length = kLength;
    config.micro_batches = kMicroBatches / static_cast<int>(p.data);
    config.seed = 5;
    engine.emplace(config, groups, pool);
  }
  testing::TokenBatches batches(uint64_t seed) const {
    return {engine->config().model.vocab_size,
            kSamples,
            kLength,
            engine->config().micro_batches,
            groups.dp->rank(),
            groups.dp->size(),
            seed};
  }
  double next_loss() { return engine->forward_backward(batches(99).batches, 1); }
  /// Another state for each seed, so that nothing can be left from the one loaded before.
  void train(uint64_t seed) {
    const testing::TokenBatches data = batches(seed);
    engine->forward_backward(data.batches, 0);
    engine->update(0, 1e-2, engine->gradient_norm(data.batches, 0));
  }
  SavedCheckpoint save(const std::string& folder) {
    RankState state = engine_state(*engine);
    state.trainer_state["step"] = 1;
    return save_state(folder, 1, state, real_file_system(), nullptr, *groups.io);
  }
  Groups groups;
  ThreadPool pool{1};
  std::optional<Engine> engine;
};

struct Saved {
  std::string path, hash;
  double next_loss = 0;
};

/// All pairs that are tried, and what was found.
class Pairs {
 public:
  Pairs(const ModelConfig& model, bool all)
      : model_(model), layouts_(layouts_of(model)), stride_(all ? 1 : 64), saved_(layouts_.size()) {}

  void save(size_t from) {
    run_local_ranks(mesh_of(layouts_[from]), [&](int rank, const Groups& groups) {
      Rank r(model_, layouts_[from], groups);
      r.engine->initialise();
      r.train(from);
      const SavedCheckpoint checkpoint = r.save(dir_.path(cat("from", from)));
      const double loss = r.next_loss();
      if (rank == 0) saved_[from] = {checkpoint.path, checkpoint.state_hash.str(), loss};
    });
  }

  void load(size_t to) {
    const std::string folder = dir_.path(cat("to", to));
    run_local_ranks(mesh_of(layouts_[to]), [&](int rank, const Groups& groups) {
      Rank r(model_, layouts_[to], groups);
      r.engine->initialise();
      for (size_t from = to % stride_; from < layouts_.size(); from += stride_) {
        restore_state(*r.engine, Checkpoint(saved_[from].path, nullptr, Check::read));
        const SavedCheckpoint copy = r.save(folder);
        const double loss = r.next_loss();
        if (rank != 0) continue;
        std::filesystem::remove_all(copy.path);
        judge(from, to, copy.state_hash.str(), loss);
      }
    });
  }

  size_t layouts() const { return layouts_.size(); }
  void print() const {
    std::printf(
        "  %zu of %zu ordered pairs of %zu layouts over 1, 2, 4 and 8 thread ranks: every state hash equal, next "
        "losses within %.1e\n",
        tried_, layouts_.size() * layouts_.size(), layouts_.size(), worst_);
  }

 private:
  void judge(size_t from, size_t to, const std::string& hash, double loss) {
    const double difference = std::abs(loss - saved_[from].next_loss) / saved_[from].next_loss;
    const std::string pair = cat(layout_name(layouts_[from]), " -> ", layout_name(layouts_[to]));
    EXPECT_EQ(hash, saved_[from].hash) << pair;
    EXPECT_LE(difference, kLossBound) << pair;
    const std::lock_guard lock(mutex_);
    worst_ = std::max(worst_, difference);
    ++tried_;
  }

  ModelConfig model_;
  std::vector<ParallelConfig> layouts_;
  size_t stride_;
  TempDir dir_{testing::memory_folder()};
  std::vector<Saved> saved_;
  std::mutex mutex_;
  size_t tried_ = 0;
  double worst_ = 0;
};

/// fn(0) to fn(n - 1) by some threads, each of which has ranks of its own.
template <class Fn>
void share_out(size_t n, Fn fn) {
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1U, std::thread::hardware_concurrency() / 4); ++t)
    threads.emplace_back([&] {
      for (size_t i; (i = next++) < n;) fn(i);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(ReshardGrid, EveryLayoutLoadsWhatEveryOtherSaved) {
  Pairs pairs(grid_model(), std::getenv("TRIREME_LONG") != nullptr);
  share_out(pairs.layouts(), [&](size_t from) { pairs.save(from); });
  share_out(pairs.layouts(), [&](size_t to) { pairs.load(to); });
  pairs.print();
  EXPECT_EQ(pairs.layouts(), 160u);
}

}  // namespace
}  // namespace trireme
