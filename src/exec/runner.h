// Runs the units in the order of a schedule and is the only one who knows where saved state lies, what is recomputed,
// and when parameters are gathered and gradients reduced. Built once on the meta device to learn the size of each
// arena, then with arenas of exactly that size.
#pragma once

#include <span>
#include <vector>

#include "comm/mesh.h"
#include "device/cuda.h"
#include "exec/config.h"
#include "exec/schedule.h"
#include "models/unit.h"
#include "params/grad_store.h"
#include "params/param_store.h"

namespace trireme {

/// The units of a pipeline stage: [first, last), and the head on the last one.
struct StageRange {
  int first = 0, last = 0;
  bool is_first = true, is_last = true;

  /// Units of a model with `num_units` dealt to `stages`: embedding and head count as one each. Where it does not come
  /// out even the first stages have one more, for the head is dear and the embedding cheap. More stages than units:
  /// some between the first and the last have none, and pass on what comes.
  static StageRange of(int num_units, int stages, int stage);
  /// Those of a pipeline rank, by chunk.
  static std::vector<StageRange> of(int num_units, const PipelineShape& shape, int rank);
  /// Units whose parameters this stage holds: with the head's.
  UnitRange held() const { return {first, is_last ? last + 1 : last}; }
};

struct RunnerOptions {
  RecomputeSplit recompute;
  DType activation_dtype = DType::f32;
  int64_t tokens = 0;       // of a micro-batch on this rank, at most
  int64_t stream_rows = 0;  // of the residual stream: tokens, or their share under sequence parallelism
  int micro_batches = 1;    // of a step; 0: evaluate() only
  int chunks = 1;           // stages of each pipeline rank
  uint64_t seed = 0;
  Device device = kCpu;         // where it runs, or would run
  CudaContext* cuda = nullptr;  // of a GPU; in a plan: what takes long to build is built for it
  bool deterministic = false;   // as Ctx has it
};

/// Capacities in bytes. `keep` has one entry a slot.
struct ArenaSizes {
  std::vector<int64_t> keep;
  int64_t rebuild = 0, temp = 0, carry = 0;
  int64_t total() const;
};

class Runner {
 public:
  /// `grads` null: evaluate() only. `sizes` null: planning on the meta device.
  Runner(Model& model, ParamStore& params, GradStore* grads, const Groups& groups, const RunnerOptions& options,
         ThreadPool& pool, const ArenaSizes* sizes);

  /// Gradients of the global batch, left in the gradient store, and its loss in loss_sum(). `batches`:
  /// options.micro_batches of them. Allocates nothing, and waits for no GPU.
  void step(std::span<const Batch> batches, int64_t step);
  /// (1) f64, where it runs: sum(weight * loss) of the last step, equal on every rank.
  const Tensor& loss_sum() const { return loss_sum_; }
  /// (1) f64, where it runs: a place for the sum of the gradients' squares.
  const Tensor& squares() const { return squares_; }
  /// (1) f32, where it runs: a place for the factor that clips the gradients.
  const Tensor& clip_factor() const { return clip_factor_; }

  /// sum(weight * loss) of one batch without gradients, equal on every rank of the pipeline; its own tokens only: not
  /// summed over dp and cp.
  double evaluate(const Batch& batch);

  /// What the arenas needed at most so far.
  ArenaSizes peaks() const;
  const OpCount& count() const { return count_; }
  void set_poison(bool on);
  void set_check_finite(bool on) { ctx_.check_finite = on; }
  /// Gradients of later steps are this many times those of the loss.
  void set_loss_scale(double scale) { ctx_.loss_scale = scale; }
  Ctx& ctx() { return ctx_; }

 private:
  /// A micro-batch's forward and backward, noted once and asked for again (device/cuda.h).
  struct MicroGraph {
    const void* tokens = nullptr;  // with what it was noted: where the batch lies, and factors of the loss
    int64_t num_tokens = 0;
    double total_weight = 0, loss_scale = 0;
    std::vector<Segment> segments;
    CudaGraphPtr graph;
  };
  void run(const Instruction& instruction, const Batch& batch);
  bool can_repeat() const;
  void micro_step(const Instruction& forward, const Instruction& backward, const Batch& batch);
  void forward(const StageRange& stage, const Batch& batch, int slot, bool first);
  void backward(const StageRange& stage, const Batch& batch, int slot, bool first);
  void evaluate(const StageRange& stage, const Batch& batch);
  /// Where an evaluation keeps what passes: no micro-batch is in flight meanwhile.
  Arena& idle() { return keep_.empty() ? rebuild_ : keep_[0]; }
  void clear_loss();
  void prefetch_behind(const StageRange& stage, int u);
  void rebuild(const Batch& batch, int slot, int unit);
  Tensor outgoing(const Stream& stream);
  /// A failpoint of steps and evaluations, which their plans do not count.
  void pass(std::string_view failpoint_name) const;
  std::string unit_name(int unit) const;
  bool is_run_again(int unit) const {
    return unit > 0 && unit - 1 < options_.recompute.block;  // the embedding keeps nothing
  }
  /// Rows of the stream for a batch.
  int64_t rows(const Batch& batch) const { return batch.num_tokens() * options_.stream_rows / options_.tokens; }
  Tensor resized(const Tensor& t, int64_t n) const { return t.slice(0, 0, n); }

  Model& model_;
  ParamStore& params_;
  GradStore* grads_;
  Groups groups_;
  RunnerOptions options_;
  std::vector<StageRange> stages_;  // by chunk
  Schedule schedule_;
  Ctx ctx_;
  OpCount count_;

  std::vector<Arena> keep_;
  Arena rebuild_, temp_, carry_;
  Tensor residual_[2], delta_[2], gradient_;  // in carry_: what passes between units
  Stream stream_;                             // the last forward's output
  std::vector<std::vector<Tensor>> inputs_;   // [slot][unit]: its input, in keep_
  std::vector<std::vector<int64_t>> marks_;   // [slot][unit]: keep_'s mark before it
  Tensor loss_sum_, squares_, clip_factor_;   // in carry_
  int current_unit_ = 0;                      // for messages
  std::vector<MicroGraph> graphs_;            // by micro-batch
  int64_t tried_tokens_ = 0;                  // of the last micro-batch that ran by itself: its kernels are chosen
  bool poison_ = false, repeats_ = true;
};

/// How the stores of a plan hold what they have.
struct StoreTypes {
  DType params = DType::f32, product_gradients = DType::f32;
};

/// Sizes and costs of a step, found by running it on the meta device.
struct Plan {
  ArenaSizes arenas;
  int64_t parameter_bytes = 0, gradient_bytes = 0;
  double step_flops = 0;   // of all ops of one step of this rank, recompute included
  double model_flops = 0;  // matrix products of one step without recompute
};

/// Plans a step, if there is one, and an evaluation for this rank of `groups`. `batch`: a micro-batch of full size,
/// meta tensors with real segments. Binds the model's parameters to nothing; make the real stores afterwards.
Plan make_plan(Model& model, const ModelLayout& layout, const Groups& groups, const RunnerOptions& options,
               const StoreTypes& types, ThreadPool& pool, const Batch& batch);

}  // namespace trireme
