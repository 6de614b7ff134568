// The training loop of a rank: data in, steps, evaluation, log, checkpoints, resume, signals. Everything that decides
// numbers lives in Engine; everything that is written lives in its own file here. All ranks run the same loop; what is
// written once, rank 0 writes.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/config.h"
#include "checkpoint/save_state.h"
#include "data/blend.h"
#include "data/config.h"
#include "train/config.h"
#include "train/engine.h"
#include "train/metrics.h"
#include "train/spike.h"

namespace trireme {

struct TrainerConfig {
  std::string run_dir;
  EngineConfig engine;
  DataConfig data;
  TrainConfig train;
  EvalConfig eval;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  CheckpointConfig checkpoint;
  LogConfig log;
  std::vector<CarriedFile> files;  // copied into every checkpoint: the tokenizer's
  Json info = Json::object();      // facts for a checkpoint's manifest
  bool poison = false;             // released activations become NaN: a use after release shows in the loss
};

enum class TrainEnd { finished, stopped };

class Trainer {
 public:
  /// Allocates everything and restores the newest good checkpoint of the run folder, if there is one: rank 0 chooses
  /// it, and each checks what it reads. ConfigError where that belongs to another model or data order. `tokens`: the
  /// sets of data.blend in its order, or one. config.engine.copies_to_save must be config.checkpoint.background.
  Trainer(TrainerConfig config, const Groups& groups, std::span<const IndexedDataset> tokens, ThreadPool& pool);

  const Engine& engine() const { return engine_; }
  int64_t steps_done() const { return step_; }
  /// Bytes of the engine and of the copy from which checkpoints are written: what the plan says.
  int64_t allocated_bytes() const { return engine_.allocated_bytes() + (background_ ? background_->bytes() : 0); }

  /// Trains up to train.max_steps. Where `stop` becomes non-zero on any rank, all finish the step at hand, a checkpoint
  /// is saved, and `stopped` returned. IoError where two checkpoints in a row, or the last one, could not be saved.
  TrainEnd run(const std::atomic<int>& stop);

 private:
  bool first_rank() const { return groups_.world->rank() == 0; }
  std::string checkpoint_to_resume(const std::vector<std::string>& damaged) const;
  void restore();
  void restore_from(const class Checkpoint& checkpoint);
  Json trainer_state();
  Json data_identity() const;
  RankState state();
  void save();
  void collect();
  void report(const SavedCheckpoint& saved, int64_t step, double seconds);
  void tidy(ThreadPool* pool);
  void tidy_together();
  void save_or_warn();
  void or_warn(void (Trainer::*work)());
  double evaluate();
  void measure_machine(LogWindow::Machine* machine);
  bool must_stop(const std::atomic<int>& stop) const;
  DocumentRange validation_part(const IndexedDataset& tokens) const;
  StepRecord train_step(std::span<const Batch> batches);
  void train_step(std::span<const Batch> batches, StepRecord& record);
  void say_skipped(const StepRecord& record);

  TrainerConfig config_;
  std::span<const IndexedDataset> tokens_;
  ThreadPool& pool_;
  Groups groups_;
  Engine engine_;
  SpikeDetector spikes_;
  int64_t step_ = 0;     // updates done
  int64_t samples_ = 0;  // taken from the data order
  int64_t trained_tokens_ = 0;
  int64_t saved_step_ = -1;
  int failed_saves_ = 0;
  int64_t pending_step_ = -1;                 // of the save under way in the background
  std::optional<BackgroundSave> background_;  // last: it is waited for before anything it writes from goes
};

}  // namespace trireme
