// A checkpoint of every layout is loaded on every layout: all that full_grid() has over 1, 2, 4 and 8 thread ranks, all
// ordered pairs with TRIREME_LONG=1, some of them every day. Every bit that a rank then keeps must be the one that the
// saving ranks had. That makes all that follows the same, which is tried too, with every pair in the daily run and with
// some in the long one: saved again the state has its hash, and the loss of the next step is the saving layout's.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <tuple>

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
constexpr unsigned kShards = 4;  // a test is one model and every fourth layout that is loaded on: they run side by side

/// Seven blocks for 1 to 16 stages; heads for 8 tensor ranks; a vocabulary that nothing divides; shared matrices.
constexpr const char* kGpt2 =
    R"({"model_type":"gpt2","vocab_size":53,"n_embd":16,"n_layer":7,"n_head":8,"n_positions":24,"n_inner":40})";
/// The same with three key-value heads, which 4 and 8 tensor ranks share, with unequal numbers of query heads.
constexpr const char* kSharedHeads =
    R"({"model_type":"qwen3","vocab_size":53,"hidden_size":16,"num_hidden_layers":7,"num_attention_heads":9,
        "num_key_value_heads":3,"head_dim":2,"intermediate_size":40,"max_position_embeddings":24,"rope_theta":1000.0,
        "attention_bias":true,"tie_word_embeddings":true})";

ModelConfig model_of(const char* json) {
  ModelConfig model = ModelConfig::from_json(Json::parse(json, "model of the pairs"));
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
  double next_loss() { return engine->forward_backward(testing::step_data(engine->config(), groups, 99).batches, 1); }
  /// Another state for each seed, so that nothing can be left from the one loaded before.
  void train(uint64_t seed) {
    const testing::TokenBatches data = testing::step_data(engine->config(), groups, seed);
    engine->train(data.batches, 0, 1e-2);
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

/// Whole tensors, by the names of weights and of optimizer state.
using Tensors = std::map<std::string, std::vector<float>>;

/// Calls fn(name, values, first element of the whole tensor, count) for each run of all that this rank keeps.
template <class Fn>
void for_each_kept(Engine& engine, Fn fn) {
  std::vector<StatePiece> pieces;
  for (const AdamW::Piece& p : engine.optimizer().pieces(engine.param_store()))
    pieces.push_back({p.param, p.kind, p.param_begin, p.state.values});
  const ModelLayout& layout = engine.layout();
  for (size_t u = 0; u < layout.units.size(); ++u) {  // under ZeRO-3 its part of the weights, else all of them
    const UnitLayout& unit = layout.units[u];
    const FlatRange own = layout.optimizer_range(static_cast<int>(u));
    const Tensor part = engine.param_store().optimizer_view(static_cast<int>(u));
    for_each_piece(unit, layout.zero_stage >= 3 ? own : FlatRange{0, unit.numel},
                   [&](Param& param, int64_t begin, int64_t flat, int64_t n) {
                     const Tensor values = layout.zero_stage >= 3
                                               ? part.slice(0, flat - own.begin, flat - own.begin + n)
                                               : param.value.reshape({n});
                     pieces.push_back({&param, "", begin, values});
                   });
  }
  for (const StatePiece& piece : pieces) {
    const Shape& whole = piece.param->spec.shape;
    const int64_t width = whole.rank > 1 ? whole[1] : 1;
    for (const PieceBox& part : boxes_of(piece))
      for (int64_t row = 0; row < part.box.rows; ++row)
        fn(state_name(piece), whole.numel(), part.view.f32() + row * part.view.stride(0),
           (part.box.row + row) * width + part.box.col, part.box.cols);
  }
}

struct Saved {
  std::string path, hash;
  double next_loss = 0;
  Tensors state;
};

/// All pairs that are tried, and what was found.
class Pairs {
 public:
  Pairs(const ModelConfig& model, bool all)
      : model_(model), layouts_(layouts_of(model)), all_(all), saved_(layouts_.size()) {}

  void save(size_t from) {
    Saved& saved = saved_[from];
    std::mutex mutex;
    run_local_ranks(mesh_of(layouts_[from]), [&](int rank, const Groups& groups) {
      Rank r(model_, layouts_[from], groups);
      r.engine->initialise();
      r.train(from);
      {
        const std::lock_guard lock(mutex);
        for_each_kept(*r.engine,
                      [&](const std::string& name, int64_t numel, const float* values, int64_t at, int64_t n) {
                        std::vector<float>& whole = saved.state[name];
                        whole.resize(static_cast<size_t>(numel));
                        std::copy(values, values + n, whole.begin() + at);
                      });
      }
      const SavedCheckpoint checkpoint = r.save(dir_.path(cat("from", from)));
      const double loss = r.next_loss();
      if (rank != 0) return;
      saved.path = checkpoint.path;
      saved.hash = checkpoint.state_hash.str();
      saved.next_loss = loss;
    });
  }

  void load(size_t to) {
    run_local_ranks(mesh_of(layouts_[to]), [&](int rank, const Groups& groups) {
      Rank r(model_, layouts_[to], groups);
      r.engine->initialise();
      for (const size_t from : loaded_by(to)) {
        const Saved& saved = saved_[from];
        restore_state(*r.engine, Checkpoint(saved.path, nullptr, Check::read));
        size_t others = 0;
        for_each_kept(*r.engine, [&](const std::string& name, int64_t, const float* values, int64_t at, int64_t n) {
          others += std::memcmp(values, saved.state.at(name).data() + at, static_cast<size_t>(n) * sizeof *values) != 0;
        });
        EXPECT_EQ(others, 0u) << pair(from, to) << ": runs of elements that differ on rank " << rank;
        if (rank == 0) ++tried_;
        if (!all_ || (from + to) % kStepped == 0) step(r, from, to, rank);
      }
    });
  }

  size_t layouts() const { return layouts_.size(); }
  /// The layouts whose checkpoints are loaded on `to`: all, or one, another for each.
  std::vector<size_t> loaded_by(size_t to) const {
    if (!all_) return {(59 * to + 1) % layouts_.size()};
    std::vector<size_t> from(layouts_.size());
    std::iota(from.begin(), from.end(), size_t{0});
    return from;
  }
  void print() const {
    std::printf(
        "  %s: %zu of %zu ordered pairs of %zu layouts over 1, 2, 4 and 8 thread ranks: every bit of all ranks is the "
        "saved one; %zu of them saved again and trained on: every state hash equal, next losses within %.1e\n",
        model_.model_type.c_str(), tried_.load(), layouts_.size() * layouts_.size(), layouts_.size(), stepped_, worst_);
  }

 private:
  static constexpr size_t kStepped = 16;  // one pair in so many, in the long run

  std::string pair(size_t from, size_t to) const {
    return cat(layout_name(layouts_[from]), " -> ", layout_name(layouts_[to]));
  }

  void step(Rank& r, size_t from, size_t to, int rank) {
    const SavedCheckpoint copy = r.save(dir_.path(cat("to", to)));
    const double loss = r.next_loss();
    if (rank != 0) return;
    std::filesystem::remove_all(copy.path);
    const double difference = std::abs(loss - saved_[from].next_loss) / saved_[from].next_loss;
    EXPECT_EQ(copy.state_hash.str(), saved_[from].hash) << pair(from, to);
    EXPECT_LE(difference, kLossBound) << pair(from, to);
    const std::lock_guard lock(mutex_);
    worst_ = std::max(worst_, difference);
    ++stepped_;
  }

  ModelConfig model_;
  std::vector<ParallelConfig> layouts_;
  bool all_;
  TempDir dir_{testing::memory_folder()};
  std::vector<Saved> saved_;
  std::atomic<size_t> tried_{0};
  std::mutex mutex_;
  size_t stepped_ = 0;
  double worst_ = 0;
};

/// fn(0) to fn(n - 1) by some threads, each of which has ranks of its own.
template <class Fn>
void share_out(size_t n, Fn fn) {
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1U, std::thread::hardware_concurrency() / (2 * kShards)); ++t)
    threads.emplace_back([&] {
      for (size_t i; (i = next++) < n;) fn(i);
    });
  for (std::thread& thread : threads) thread.join();
}

class ReshardGrid : public ::testing::TestWithParam<std::tuple<const char*, unsigned>> {};

TEST_P(ReshardGrid, EveryLayoutLoadsWhatEveryOtherSaved) {
  const auto& [model, shard] = GetParam();
  Pairs pairs(model_of(model), std::getenv("TRIREME_LONG") != nullptr);
  EXPECT_EQ(pairs.layouts(), 161u);
  std::vector<size_t> to;
  std::set<size_t> from;
  for (size_t i = shard; i < pairs.layouts(); i += kShards) {
    to.push_back(i);
    for (const size_t f : pairs.loaded_by(i)) from.insert(f);
  }
  const std::vector<size_t> saved(from.begin(), from.end());
  share_out(saved.size(), [&](size_t i) { pairs.save(saved[i]); });
  share_out(to.size(), [&](size_t i) { pairs.load(to[i]); });
  pairs.print();
}

INSTANTIATE_TEST_SUITE_P(Pairs, ReshardGrid,
                         ::testing::Combine(::testing::Values(kGpt2, kSharedHeads), ::testing::Range(0U, kShards)),
                         [](const auto& test) {
                           return cat(test.index < kShards ? "Gpt2Part" : "SharedHeadsPart", test.index % kShards);
                         });

}  // namespace
}  // namespace trireme
