// One rank's training state and what can be done with it: model, stores, runner, optimizer, built in the order of the
// plan. Knows nothing of files, data or logs; the same class trains alone and as one of many ranks.
#pragma once

#include <optional>
#include <string>

#include "device/cuda.h"
#include "exec/context_share.h"
#include "exec/runner.h"
#include "models/config.h"
#include "models/model.h"
#include "optim/adamw.h"
#include "optim/loss_scaler.h"
#include "train/device_batches.h"

namespace trireme {

struct EngineConfig {
  ModelConfig model;
  OptimizerConfig optimizer;
  PrecisionConfig precision;
  MemoryConfig memory;
  int zero_stage = 0;
  int virtual_pipeline = 1;                           // stages of each pipeline rank
  bool sequence_parallel = false;                     // the residual stream is split over the tensor ranks
  int64_t micro_batch_size = 1, sequence_length = 0;  // of a micro-batch, before context ranks share it
  int micro_batches = 1;        // of this rank, a step; 0: evaluate() only, without gradients and optimizer
  bool copies_to_save = false;  // checkpoints are written from a copy of the state, which whoever saves makes
  uint64_t seed = 0;
  Device device = kCpu;
  bool deterministic = false;  // see TrainConfig
  CudaOptions gpu;             // where device is one
  RecomputeSplit split;        // where memory.recompute is automatic: made by the engine that runs

  /// What each block recomputes.
  RecomputeSplit recompute() const;
  int64_t tokens() const { return micro_batch_size * sequence_length; }
};

/// Bytes that an engine takes on this rank, known before anything is allocated.
struct MemoryPlan {
  int64_t parameters = 0, gradients = 0, optimizer = 0;
  int64_t batches = 0;    // copies of a step's tokens: a context rank's own, those on a GPU
  int64_t save_copy = 0;  // of this rank's state that is being saved, on the host
  ArenaSizes arenas;
  double step_flops = 0;   // of all ops of one step of this rank, recompute included
  double model_flops = 0;  // matrix products of one step of this rank, without recompute
  int64_t num_parameters = 0;
  RecomputeSplit recompute;

  int64_t total() const { return parameters + gradients + optimizer + batches + save_copy + arenas.total(); }
  /// Of these, bytes where the run computes: the copy that is saved lies on the host.
  int64_t on_device() const { return total() - save_copy; }
  /// A table for people.
  std::string str() const;
};

class Engine {
 public:
  /// Plans only: nothing of the size of the model is allocated. Automatic recompute is config.split.
  static MemoryPlan plan(const EngineConfig& config, const Groups& groups, ThreadPool& pool);

  /// ConfigError where the layout is refused (layout_rules.h), or the GPU has less memory than the plan. Plans, then
  /// allocates exactly the plan. Parameters are zero until initialise() or a restore.
  Engine(const EngineConfig& config, const Groups& groups, ThreadPool& pool);

  /// Initial values of the recipe's seed.
  void initialise();
  /// After parameters were set from outside (weights without optimizer state): masters follow them.
  void weights_changed();

  struct StepResult {
    double loss = 0, norm = 0;  // as of the two functions below
  };
  /// A whole step: the three functions below in one. A GPU is waited for once, at the end; in float16 before the update
  /// too, for whether there is to be one decides what step it is.
  StepResult train(std::span<const Batch> batches, int64_t step, double lr);

  /// Loss and gradients of the global batch. The context ranks get the same batches, and each takes its own tokens of
  /// them. NumericError naming the first tensor where something is NaN or Inf, unless loss scaling may help.
  /// `step` counts from 0. In float16 the gradients are those of the loss times loss_scaler().scale().
  double forward_backward(std::span<const Batch> batches, int64_t step);
  /// Global norm of the gradients, without loss scale; the same on all ranks. NumericError as above where it is not
  /// finite; NaN or Inf where it, or the loss, overflowed in float16 and a smaller loss scale may help.
  double gradient_norm(std::span<const Batch> batches, int64_t step);
  /// Applies the gradients, clipped by the norm, which gradient_norm() has found; where that is not finite leaves all
  /// as it is. Adapts the loss scale. Steps left out by loss scaling do not count as updates; all others, `step` of
  /// them, do. Waits for no GPU.
  void update(int64_t step, double lr);
  /// sum(weight * loss) over a batch, dropout off; equal on the ranks that share the batch.
  double evaluate(const Batch& batch);
  /// Returns when everything asked for is done.
  void synchronize() { cuda_synchronize(cuda_.get()); }
  /// Where its ops run.
  Ctx& ctx() { return runner_->ctx(); }

  const MemoryPlan& memory_plan() const { return plan_; }
  /// Bytes that were really allocated, and the arenas' real peaks: equal to the plan, but for what is not the engine's
  /// (save_copy).
  int64_t allocated_bytes() const;
  ArenaSizes arena_peaks() const { return runner_->peaks(); }
  void set_poison(bool on) { runner_->set_poison(on); }

  ParamTable& params() { return model_.params; }
  ParamStore& param_store() { return *params_; }
  const GradStore& grad_store() const { return *grads_; }  // of an engine that trains
  const ModelLayout& layout() const { return *layout_; }
  const AdamW& optimizer() const { return *optimizer_; }  // of an engine that trains
  LossScaler& loss_scaler() { return scaler_; }
  const EngineConfig& config() const { return config_; }
  const Groups& groups() const { return groups_; }

 private:
  std::span<const Batch> own_batches(std::span<const Batch> batches);
  void ask_gradients(std::span<const Batch> batches, int64_t step);
  double loss(std::span<const Batch> batches, int64_t step);
  void ask_norm();
  double norm(std::span<const Batch> batches, int64_t step);
  [[noreturn]] void explain(std::span<const Batch> batches, int64_t step, const std::string& what);

  EngineConfig config_;
  Groups groups_;
  ThreadPool& pool_;
  CudaContextPtr cuda_;
  Model model_;
  std::optional<ModelLayout> layout_;
  MemoryPlan plan_;
  std::optional<ParamStore> params_;
  std::optional<GradStore> grads_;
  std::optional<AdamW> optimizer_;
  LossScaler scaler_;
  bool overflow_ = false;  // of the last step whose loss and norm were looked at
  std::optional<ContextDealer> dealer_;
  DeviceBatches batches_;
  std::optional<Runner> runner_;
};

}  // namespace trireme
