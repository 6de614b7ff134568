// Saves as training makes them, of a state so small that thousands of them are made in seconds: by one process, by
// ranks that write a file each and of which one commits, by ranks in the background. What a step's state is follows
// from its number, so what loads can be compared with what was saved.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/sample.h"
#include "checkpoint/save_state.h"
#include "checkpoint/store.h"
#include "comm/local.h"
#include "models/model.h"

namespace trireme::testing {

/// Who writes, and whether the writing threads are others than those that ask for it.
struct Saver {
  const char* name;
  int ranks = 1;
  bool background = false;
};

inline void PrintTo(const Saver& saver, std::ostream* out) { *out << saver.name; }

constexpr Saver kSavers[] = {{"one process"}, {"3 ranks", 3}, {"3 ranks, background", 3, true}};

/// The values that ranks hold of one step, cut as ZeRO cuts them: by elements, anywhere in a row.
class RankValues {
 public:
  RankValues(const ModelConfig& config, const ParamTable& params, int ranks, int64_t step)
      : config_(config), params_(params), ranks_(ranks) {
    for (const Param& param : params_)
      for (const char* kind : {"", "exp_avg", "exp_avg_sq"}) {
        std::vector<float>& values = values_[{param.spec.name, kind}];
        values.resize(static_cast<size_t>(param.spec.shape.numel()));
        weight_bytes_ += *kind == '\0' ? values.size() * sizeof(float) : 0;
      }
    set(step);
  }

  void set(int64_t step) {
    step_ = step;
    float value = static_cast<float>(step);
    for (auto& [key, values] : values_)
      for (float& v : values) v = value += 0.25F;
  }

  RankState of(int rank) {
    RankState state;
    state.model = &config_;
    state.params = &params_;
    for (const Param& param : params_)
      for (const char* kind : {"", "exp_avg", "exp_avg_sq"}) {
        std::vector<float>& values = values_.at({param.spec.name, kind});
        const auto n = static_cast<int64_t>(values.size());
        const int64_t begin = n * rank / ranks_, end = n * (rank + 1) / ranks_;
        const Tensor whole(values.data(), DType::f32, kCpu, {n});
        if (begin < end)
          (*kind == '\0' ? state.weights : state.optimizer)
              .push_back({&param, kind, begin, whole.slice(0, begin, end)});
      }
    state.trainer_state["step"] = step_;
    state.shard_bytes = weight_bytes_ / static_cast<uint64_t>(ranks_);  // so small that each rank writes weights too
    return state;
  }

  /// Something else in place of all: what training does while a save is written in the background.
  void scribble() {
    for (auto& [key, values] : values_) std::fill(values.begin(), values.end(), -1.0F);
  }

 private:
  const ModelConfig& config_;
  const ParamTable& params_;
  int ranks_;
  int64_t step_ = 0;
  uint64_t weight_bytes_ = 0;
  std::map<std::pair<std::string, std::string>, std::vector<float>> values_;  // by parameter and kind
};

inline const OnSkip kSilently = [](const std::string&, const std::string&) {};

/// Small files of a run that its checkpoints carry, one of them in a folder of its own.
constexpr const char* kCarried[] = {"vocab.json", "templates/tool.jinja"};
inline void write_carried(const std::string& run_dir) {
  std::filesystem::create_directories(run_dir + "/templates");
  for (const char* name : kCarried) overwrite(cat(run_dir, "/", name), cat("carried as ", name));
}

/// What became of one save: an error's text of each rank, empty where that rank was told that it went well.
using Told = std::vector<std::string>;
inline bool all_saved(const Told& told) {
  return std::all_of(told.begin(), told.end(), [](const std::string& text) { return text.empty(); });
}

class RankSaves {
 public:
  explicit RankSaves(const Saver& saver, int64_t hidden_size = 6)
      : saver_(saver), model_config_(config(hidden_size)), model_(build_model(model_config_, alone_)) {}

  const Saver& saver() const { return saver_; }
  RankValues values(int ranks, int64_t step) const { return {model_config_, model_.params, ranks, step}; }

  /// Files of write_carried go with it. Calls `acknowledged` as soon as one rank may take the state
  /// of `step` for saved, then deletes what is older than the `keep_last` newest (0: nothing). Errors other than of
  /// files are thrown.
  Told save(
      const std::string& run_dir, int64_t step, FileSystem& fs = real_file_system(),
      const std::function<void()>& acknowledged = [] {}, int64_t keep_last = 0) const {
    Told told(static_cast<size_t>(saver_.ranks));
    RankValues all = values(saver_.ranks, step);
    std::once_flag once;
    const auto after = [&] {
      std::call_once(once, acknowledged);
      try {
        apply_retention(run_dir, keep_last, kSilently, fs, nullptr);
      } catch (const IoError&) {  // as the trainer: what could not be deleted costs nothing
      }
    };
    run_local_ranks({.dp = saver_.ranks}, [&](int rank, const Groups& groups) {
      RankState state = all.of(rank);
      for (const char* name : kCarried)
        if (std::error_code ignored; std::filesystem::exists(cat(run_dir, "/", name), ignored))
          state.files.push_back({run_dir, name});
      try {
        if (saver_.background) {
          ThreadPool pool(1);
          BackgroundSave save(copy_bytes(state), *groups.io, fs);
          save.start(run_dir, step, std::move(state), pool, after);
          groups.world->barrier();
          if (rank == 0) all.scribble();
          save.finish();
        } else {
          save_state(run_dir, step, state, fs, nullptr, *groups.io);
          if (rank == 0)
            after();
          else
            std::call_once(once, acknowledged);
        }
      } catch (const IoError& e) {
        told[static_cast<size_t>(rank)] = e.what();
      }
    });
    return told;
  }

  /// The state hash of a step, as a save of one process in a folder of its own has it.
  std::string hash_of(int64_t step) const {
    const std::lock_guard lock(mutex_);
    std::string& hash = hashes_[step];
    if (hash.empty()) {
      const TempDir dir(memory_folder());
      SingleGroup alone;
      RankValues all = values(1, step);
      hash = save_state(dir.path(), step, all.of(0), real_file_system(), nullptr, alone).state_hash.str();
    }
    return hash;
  }

  /// The step of the newest checkpoint that loads, -1 where none does, -2 where one loads that is not what was saved.
  int64_t newest_step(const std::string& run_dir) const {
    const auto found = newest_valid(run_dir, kSilently, nullptr);
    if (!found) return -1;
    const int64_t step = found->manifest().step;
    const bool same = found->state_hash(nullptr).str() == hash_of(step) &&
                      found->manifest().state_hash.str() == hash_of(step) &&
                      found->trainer_state().at("step").as_integer() == step;
    return same ? step : -2;
  }

 private:
  static ModelConfig config(int64_t hidden_size) {
    ModelConfig c;
    c.model_type = "qwen3";
    c.vocab_size = hidden_size + 5;
    c.hidden_size = hidden_size;
    c.num_hidden_layers = 1;
    c.num_attention_heads = c.num_key_value_heads = 1;
    c.head_dim = 4;
    c.intermediate_size = 5;
    c.max_position_embeddings = 8;
    return c;
  }

  Saver saver_;
  SingleGroup alone_;
  ModelConfig model_config_;
  Model model_;
  mutable std::mutex mutex_;
  mutable std::map<int64_t, std::string> hashes_;
};

}  // namespace trireme::testing
